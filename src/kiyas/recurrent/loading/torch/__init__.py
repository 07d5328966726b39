"""Models of PyTorch: a state_dict in safetensors or ``.pt``, which holds weights by name and no architecture."""

from kiyas.recurrent.loading.torch.modules import model_of

__all__ = ["model_of"]
