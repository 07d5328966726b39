"""Makes own/version_1.safetensors: a file of kiyas' format of that version, with what the model gave then.

Run once when a format version is new (PYTHONPATH=src python tests/golden/recurrent/make_own.py); never again: a later
kiyas must read the very file that an earlier one wrote.
"""

from pathlib import Path

import numpy as np

from kiyas.recurrent import LayerNorm, Model, Node, activations, layers
from kiyas.recurrent.loading.own import VERSION

HERE = Path(__file__).parent / "own"


def example():
    """Every kind of value that the format has: tensors, activations, layers in layers, a model, a layer norm."""
    rng = np.random.default_rng(0)

    def r(*shape):
        return (rng.standard_normal(shape) * 0.5).astype(np.float32)

    lstm = layers.LSTM("lstm", r(12, 4), r(12, 2), r(12), projection=r(2, 3), peephole=r(3, 3), clip=2.5,
                       recurrent_activation="hard_sigmoid_fifth", return_sequences=True,
                       layer_norm=LayerNorm(r(12), r(12), r(3), r(3), 1e-4))
    both = layers.Bidirectional("both", layers.GRU("f", r(6, 2), r(6, 2), r(6), recurrent_bias=r(6), reset_after=True,
                                                   return_sequences=True),
                                layers.GRU("b", r(6, 2), r(6, 2), return_sequences=True), merge="ave",
                                return_sequences=True)
    head = Model.sequential([layers.Dense("one", r(3, 2), r(3), activation=activations.find("leaky_relu", alpha=0.1)),
                             layers.ActivationLayer("two", activations.find("capped_relu", negative_slope=0.5))],
                            input_shape=(None, 2))
    nodes = [Node(layers.Input("ids", (None,))), Node(layers.Embedding("table", r(5, 4), mask_zero=True), ((0, 0),)),
             Node(lstm, ((1, 0),)), Node(both, ((2, 0),)), Node(layers.Nested("head", head), ((3, 0),)),
             Node(layers.Conv1D("conv", r(2, 3, 3), padding=(1, 1)), ((4, 0),)),
             Node(layers.TimeDistributed("each", layers.Dense("inner", r(1, 2))), ((5, 0),))]
    return Model(nodes, [0], [(6, 0), (4, 0)], source={"format": "example"})


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    model, x = example(), np.array([[1, 2, 3, 4, 0], [2, 0, 1, 4, 4]])
    model.save(HERE / f"version_{VERSION}.safetensors")
    y, head = model.predict(x)
    np.savez(HERE / f"version_{VERSION}.npz", x=x, y=y, head=head)
