from jepa_extractor.networks.heads import make_head as make_head
