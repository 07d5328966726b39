"""Text from a model: greedy, by chance, by beam search; step by step or by the window of a Keras loop.

See docs/generation.md.
"""

from kiyas.recurrent.generation.beam import beam_search
from kiyas.recurrent.generation.loop import Generated, Token, generate, generate_tokens
from kiyas.recurrent.generation.sampling import Sampling

__all__ = ["Generated", "Sampling", "Token", "beam_search", "generate", "generate_tokens"]
