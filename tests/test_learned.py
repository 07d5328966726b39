"""The learned measure against a network by loops; its files."""

from __future__ import annotations

import contextlib
import math

import array_api_strict
import naive_inner as naive
import numpy as np
import pytest

from kiyas.errors import FileError, InputError
from kiyas.measures import Learned, measure


def weights(seed, h=5, d=4, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return {"first_a": rng.standard_normal((h, d)).astype(dtype), "first_b": rng.standard_normal((h, d)).astype(dtype),
            "bias1": rng.standard_normal(h).astype(dtype), "second": rng.standard_normal(h).astype(dtype),
            "bias2": 0.25, "alpha": 1.5}


def data(seed, n=6, m=8, d=4):
    rng = np.random.default_rng(seed)
    A, B = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    A[1] = B[2] = 0
    B[3] = A[0]
    return A, B


def logits(A, B, w):
    return np.array([[naive.learned_logit(a, b, **w) for b in B] for a in A])


@pytest.mark.parametrize("alpha", [0.0, 1.5])
@pytest.mark.parametrize(("h", "d"), [(1, 1), (5, 4), (17, 3)])
def test_agrees_with_the_loops(h, d, alpha):
    w = {**weights(1, h, d), "alpha": alpha}
    A, B = data(2, d=d)
    m, want = Learned(**w), logits(A, B, w)
    np.testing.assert_allclose(m.raw_pairwise(A, B), want, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(m.raw_paired(A, B[:6]), np.diag(want), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(m.logit(A[0], B[1]), want[0, 1], rtol=1e-12)
    np.testing.assert_allclose(m.pairwise(A, B), 1 / (1 + np.exp(-want)), rtol=1e-12)
    np.testing.assert_allclose(m.paired(A, B[:6]), 1 / (1 + np.exp(-np.diag(want))), rtol=1e-12)
    assert m(A[0], B[1]) == pytest.approx(1 / (1 + math.exp(-want[0, 1])), rel=1e-12)
    assert (m.hidden, m.dims) == (h, d)


def test_halves_are_rounded_each_by_itself():
    w = weights(3, 9, 33)
    rng = np.random.default_rng(4)
    X = rng.standard_normal((50, 33)).astype(np.float32)
    m = Learned(**w)
    u, v = m.halves_a(X), m.halves_b(X)
    assert u.dtype == v.dtype == np.float32
    np.testing.assert_array_equal(u[:3], [[naive.half(r, x, b) for r, b in zip(w["first_a"], w["bias1"], strict=True)]
                                          for x in X[:3]])
    np.testing.assert_array_equal(v[:3], [[naive.half(r, x) for r in w["first_b"]] for x in X[:3]])
    for i in (0, 7, 49):
        np.testing.assert_array_equal(m.halves_a(X[i:i + 1])[0], u[i])
        np.testing.assert_array_equal(m.halves_b(X[i:i + 1])[0], v[i])


def test_blocks_of_pairs_do_not_matter(monkeypatch):
    from kiyas.measures import learned

    A, B = data(5, n=30, m=40)
    m = Learned(**weights(6))
    whole = m.raw_pairwise(A, B)
    monkeypatch.setattr(learned, "row_blocks", lambda n, d: ((i, min(i + 7, n)) for i in range(0, n, 7)))
    np.testing.assert_allclose(m.raw_pairwise(A, B), whole, rtol=1e-14)


def test_the_sigmoid_is_stable_and_the_logit_still_orders():
    m = Learned(np.ones((1, 1)), np.zeros((1, 1)), np.zeros(1), np.ones(1))
    a = np.array([[40.0], [50.0], [1000.0], [-5.0]])
    np.testing.assert_array_equal(m.paired(a, a), [1.0, 1.0, 1.0, 0.5])
    np.testing.assert_array_equal(m.raw_paired(a, a), [40, 50, 1000, 0])
    np.testing.assert_array_equal(m.report(np.array([-1e308, -745.0, 0.0, 745.0])), [0, math.exp(-745), 0.5, 1])


def test_array_libraries():
    A, B = data(7)
    m = Learned(**weights(8))
    SA, SB = array_api_strict.asarray(A), array_api_strict.asarray(B)
    got = m.pairwise(SA, SB)
    assert got.dtype == array_api_strict.float64
    np.testing.assert_allclose(np.asarray(got), m.pairwise(A, B), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(m.paired(SA, SB[:6, :])), m.paired(A, B[:6]), rtol=1e-12)
    A.setflags(write=False)
    assert m.pairwise(A, B).shape == (6, 8)


@pytest.mark.torch
def test_torch():
    torch = pytest.importorskip("torch")
    A, B = data(9)
    m = Learned(**weights(10))
    got = m.raw_pairwise(torch.from_numpy(A), torch.from_numpy(B))
    assert isinstance(got, torch.Tensor)
    np.testing.assert_allclose(got.numpy(), m.raw_pairwise(A, B), rtol=1e-12)


def test_kernel_and_text():
    m = Learned(**weights(11))
    assert m.kernel().family == "learned"
    assert m.kernel().kind == "relu"
    assert str(m).startswith("learned(first_a=array(5, 4), first_b=array(5, 4)")


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_files_keep_every_bit(tmp_path, dtype):
    m = Learned(**weights(12, dtype=dtype))
    m.save(tmp_path / "w.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
    back = Learned.load(tmp_path / "w.safetensors")
    for key in ("first_a", "first_b", "bias1", "second"):
        np.testing.assert_array_equal(getattr(back, key), getattr(m, key))
    assert (back.bias2, back.alpha) == (m.bias2, m.alpha)


def write(path, **changes):
    from safetensors.numpy import save_file

    tensors = {k: np.atleast_1d(v).astype(np.float32) for k, v in weights(13).items()}
    tensors |= changes
    save_file({k: v for k, v in tensors.items() if v is not None}, path)
    return path


def test_alpha_may_be_left_out(tmp_path):
    assert Learned.load(write(tmp_path / "w", alpha=None)).alpha == 0.0


@pytest.mark.parametrize(("changes", "words"), [
    ({"second": None, "bias2": None}, "lacks bias2, second"),
    ({"third": np.ones(2)}, "holds third, which the learned measure does not use"),
    ({"first_b": np.ones((5, 3))}, r"'first_b' must be of shape \(5, 4\), as first_a, got \(5, 3\)"),
    ({"bias1": np.ones(4)}, r"'bias1' must be of shape \(5,\), got \(4,\)"),
    ({"second": np.full(5, np.nan)}, "'second' must be finite"),
    ({"bias2": np.ones(2)}, "bias2 must be one number, got shape"),
    ({"bias2": np.array([np.inf])}, "'bias2' must be a finite number"),
    ({"bias1": np.ones((5, 1))}, "'bias1' must be a 1-D array"),
])
def test_bad_files(tmp_path, changes, words):
    path = write(tmp_path / "w", **changes)
    with pytest.raises(FileError, match=words) as error:
        Learned.load(path)
    assert str(path) in str(error.value)


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(FileError, match="there is no such file"):
        Learned.load(tmp_path / "none")
    good = write(tmp_path / "w").read_bytes()
    rng = np.random.default_rng(0)
    for bad in (b"", b"no", good[:-3], good[:60], bytes(rng.integers(0, 256, 500, dtype=np.uint8))):
        (tmp_path / "x").write_bytes(bad)
        with pytest.raises(FileError, match="no safetensors file"):
            Learned.load(tmp_path / "x")
    with pytest.raises(FileError, match="cannot be read"):
        Learned.load(tmp_path)


def test_flipped_header_bytes_never_crash(tmp_path):
    good = write(tmp_path / "w").read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(200):
        bad = bytearray(good)
        bad[rng.integers(0, 400)] = rng.integers(0, 256)
        (tmp_path / "x").write_bytes(bad)
        with contextlib.suppress(FileError):
            Learned.load(tmp_path / "x")


def test_bad_weights():
    w = weights(14)
    with pytest.raises(InputError, match="learned: 'first_b' must be of shape"):
        Learned(**{**w, "first_b": np.ones((2, 2))})
    with pytest.raises(InputError, match="'alpha' must be a finite number, got nan"):
        measure("learned", **{**w, "alpha": math.nan})
    m = Learned(**w)
    with pytest.raises(InputError, match="'A' must be of 4 dimensions, got 3"):
        m.pairwise(np.ones((1, 3)), np.ones((1, 3)))
    with pytest.raises(InputError, match="of 2 rows, one for each of A, got 1"):
        m.raw_paired(np.ones((2, 4)), np.ones((1, 4)))
