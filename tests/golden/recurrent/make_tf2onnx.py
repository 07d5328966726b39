"""Makes onnx/keras_*.onnx: Keras models as tf2onnx writes them, with Keras' outputs.

Run with TensorFlow 2.15, tf2onnx 1.16 and onnx 1.16: python make_tf2onnx.py
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import tensorflow as tf
import tf2onnx
from keras import Input, Sequential, layers

HERE = Path(__file__).parent / "onnx"


def main():
    """Write everything."""
    tf.random.set_seed(0)
    rng = np.random.default_rng(0)
    x, ids = rng.standard_normal((2, 6, 4)).astype(np.float32), rng.integers(0, 9, (2, 6)).astype(np.int32)
    models = {
        "stack": (x, [Input((None, 4)), layers.LSTM(3, return_sequences=True), layers.LSTM(5),
                      layers.Dense(2, activation="softmax")]),
        "both": (x, [Input((6, 4)), layers.Bidirectional(layers.LSTM(3, return_sequences=True)), layers.GRU(3),
                     layers.Dense(2)]),
        "text": (ids, [Input((6,), dtype="int32"), layers.Embedding(9, 4), layers.Bidirectional(layers.LSTM(3)),
                       layers.Dense(4, activation="relu"), layers.Dense(1, activation="sigmoid")]),
        "convolution": (x, [Input((6, 4)), layers.Conv1D(5, 3, padding="same", activation="relu"),
                            layers.MaxPooling1D(2), layers.LSTM(3, return_sequences=True),
                            layers.TimeDistributed(layers.Dense(2)), layers.GlobalAveragePooling1D()]),
    }
    for name, (feed, stack) in models.items():
        model = Sequential(stack)
        signature = [tf.TensorSpec(model.inputs[0].shape, model.inputs[0].dtype, name="x")]
        tf2onnx.convert.from_keras(model, input_signature=signature, opset=15,
                                   output_path=str(HERE / f"keras_{name}.onnx"))
        np.savez(HERE / f"keras_{name}.npz", x=feed, out_y=model(feed).numpy())


if __name__ == "__main__":
    main()
