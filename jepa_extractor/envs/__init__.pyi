from jepa_extractor.envs.strings import TOMITA as TOMITA
from jepa_extractor.envs.strings import Strings as Strings
from jepa_extractor.envs.strings import parentheses as parentheses
from jepa_extractor.envs.strings import random_language as random_language
from jepa_extractor.envs.table_images import TableImages as TableImages
