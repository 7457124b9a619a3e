from ._ahash import AHash as AHash
from ._dhash import DHash as DHash
from ._pdq import PdqHash as PdqHash
from ._pdq import pdq_quality as pdq_quality
from ._phash import PHash as PHash
from .base import PerceptualHash as PerceptualHash
from .registry import PERCEPTUAL_HASHES as PERCEPTUAL_HASHES
from .registry import perceptual_hash as perceptual_hash
