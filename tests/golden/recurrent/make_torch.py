"""Makes torch/: small state_dicts of PyTorch with its outputs. Run with PyTorch 2.13: python make_torch.py"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

HERE = Path(__file__).parent / "torch"
M, N, BATCH, TIME = 3, 4, 3, 5
LENGTHS = [5, 3, 1]
CASES = {
    "lstm": (nn.LSTM, {}),
    "lstm_stacked_both_ways_projected": (nn.LSTM, {"num_layers": 2, "bidirectional": True, "proj_size": 2}),
    "lstm_without_bias": (nn.LSTM, {"bias": False}),
    "gru": (nn.GRU, {"num_layers": 2}),
    "gru_both_ways": (nn.GRU, {"bidirectional": True, "bias": False}),
    "rnn_relu": (nn.RNN, {"nonlinearity": "relu", "num_layers": 2}),
    "rnn_tanh": (nn.RNN, {}),
}


class Tagger(nn.Module):
    """Embedding, convolution, LSTM, normalisation, two linear layers."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, M)
        self.conv = nn.Conv1d(M, 5, 3, padding=1)
        self.encoder = nn.LSTM(5, N, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(2 * N)
        self.hidden = nn.Linear(2 * N, 3)
        self.out = nn.Linear(3, 2)

    def forward(self, ids):
        x = self.conv(self.embedding(ids).transpose(1, 2)).transpose(1, 2).relu()
        return self.out(self.hidden(self.norm(self.encoder(x)[0])).tanh()).softmax(-1)


def states(module, batch):
    """Random initial states: h, or (h, c)."""
    ways = module.num_layers * (2 if module.bidirectional else 1)
    h = torch.randn(ways, batch, module.proj_size or module.hidden_size)
    return (h, torch.randn(ways, batch, module.hidden_size)) if isinstance(module, nn.LSTM) else h


def as_list(state):
    """States as a list of arrays."""
    return [s.numpy() for s in (state if isinstance(state, tuple) else (state,))]


def main():
    """Write everything."""
    HERE.mkdir(exist_ok=True)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, (kind, options) in CASES.items():
            module = kind(M, N, batch_first=True, **options).eval()
            x, begin = torch.randn(BATCH, TIME, M), states(module, BATCH)
            y, end = module(x, begin)
            packed = pack_padded_sequence(x, torch.tensor(LENGTHS), batch_first=True)
            y_packed, end_packed = module(packed, begin)
            y_packed = pad_packed_sequence(y_packed, batch_first=True)[0]
            np.savez(HERE / f"{name}.npz", x=x, y=y, lengths=LENGTHS, y_packed=y_packed,
                     **{f"begin{k}": s for k, s in enumerate(as_list(begin))},
                     **{f"end{k}": s for k, s in enumerate(as_list(end))},
                     **{f"end_packed{k}": s for k, s in enumerate(as_list(end_packed))})
            torch.save(module.state_dict(), HERE / f"{name}.pt")
        save_file(nn.LSTM(M, N).to(torch.bfloat16).state_dict(), HERE / "bfloat16.safetensors")

        cell = nn.LSTMCell(M, N)
        x, h, c = torch.randn(2, M), torch.randn(2, N), torch.randn(2, N)
        h_next, c_next = cell(x, (h, c))
        torch.save(cell.state_dict(), HERE / "cell.pt")
        np.savez(HERE / "cell.npz", x=x, h=h, c=c, h_next=h_next, c_next=c_next)

        tagger = Tagger().eval()
        ids = torch.randint(0, 7, (2, 6))
        torch.save({"epoch": 3, "model": tagger.state_dict(),
                    "optimizer": torch.optim.Adam(tagger.parameters()).state_dict()}, HERE / "tagger_checkpoint.pt")
        np.savez(HERE / "tagger.npz", x=ids, y=tagger(ids))

        normed = torch.nn.utils.weight_norm(nn.LSTM(M, N, batch_first=True), "weight_hh_l0")
        normed.weight_hh_l0_g.mul_(1.5)
        x = torch.randn(1, TIME, M)
        torch.save(normed.state_dict(), HERE / "weight_norm.pt")
        np.savez(HERE / "weight_norm.npz", x=x, y=normed(x)[0])

    torch.save(torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.LSTM(M, N)), {nn.LSTM}).state_dict(),
               HERE / "quantised.pt")
    torch.save(nn.LSTM(M, N), HERE / "whole_module.pt")
    torch.save(nn.LSTM(M, N).state_dict(), HERE / "before_1_6.pt", _use_new_zipfile_serialization=False)
    torch.jit.script(nn.Linear(2, 2)).save(HERE / "torchscript.pt")


if __name__ == "__main__":
    main()
