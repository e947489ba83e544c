from jepa_extractor.audit.page.html import write_page as write_page
