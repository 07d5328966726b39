"""Makes silero.npz beside it, with onnxruntime 1.32.0: silero-vad 6.2.3 fed frame by frame, its state carried.

    pip install onnxruntime==1.32.0
    pip download --no-deps silero-vad==6.2.3, and unpack it
    python make_silero.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def frames(seconds=4):
    """Noise, a gap, and a buzz with formants that comes and goes: (frames, 576), each with the 64 samples before it."""
    rng = np.random.default_rng(0)
    time = np.arange(seconds * 16000) / 16000
    buzz = sum(np.sin(2 * np.pi * 120 * k * time) * np.exp(-((120 * k - 600) / 500) ** 2) for k in range(1, 30))
    loud = (np.sin(2 * np.pi * 1.5 * time) > -0.3) & (time > 1)
    audio = (0.01 * rng.standard_normal(time.size) + 0.2 * buzz * loud).astype(np.float32)
    audio = audio[: audio.size // 512 * 512]
    padded = np.concatenate([np.zeros(64, np.float32), audio])
    return np.stack([padded[i : i + 576] for i in range(0, audio.size, 512)])


def main():
    import onnxruntime

    file = Path(sys.argv[1]) / "silero_vad" / "data" / "silero_vad_openvino_16k.onnx"
    session = onnxruntime.InferenceSession(str(file))
    state, outputs = np.zeros((2, 1, 128), np.float32), []
    for frame in frames():
        y, state = session.run(None, {"input": frame[None], "state": state})
        outputs.append(float(y[0, 0]))
    np.savez_compressed(HERE / "silero.npz", outputs=np.array(outputs, np.float32), state=state)
    print(len(outputs), min(outputs), max(outputs))


if __name__ == "__main__":
    main()
