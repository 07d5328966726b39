"""Whole sequences through a plain chain at once: the bits, and the errors, of the long way round."""

import numpy as np
import pytest

from kiyas.errors import InputError
from kiyas.recurrent import Model
from kiyas.recurrent.layers import GRU, LSTM, Dense, Dropout, Embedding, TimeDistributed


def draw(seed, *shape):
    return (np.random.default_rng(seed).standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


def lstm(name, inputs, units, every):
    return LSTM(name, draw(1, 4 * units, inputs), draw(2, 4 * units, units), draw(3, 4 * units), return_sequences=every)


def models():
    gru = GRU("second", draw(4, 15, 6), draw(5, 15, 5), draw(6, 15), return_sequences=True)
    head = Dense("head", draw(7, 9, 6), draw(8, 9), "softmax")
    over_time = TimeDistributed("over", Dense("each", draw(9, 4, 5), None, "relu"))
    return {
        "one": [lstm("first", 3, 6, True)],
        "last": [lstm("first", 3, 6, False)],
        "stack": [lstm("first", 3, 6, True), Dropout("drop"), gru],
        "head": [lstm("first", 3, 6, False), head],
        "over time": [lstm("first", 3, 6, True), gru, over_time],
    }


def the_long_way(model, x):
    """With a mask in which every step counts, nothing is taken at once."""
    return model.predict(x, mask=np.ones(x.shape[:2], bool))


@pytest.mark.parametrize("name", sorted(models()))
@pytest.mark.parametrize("threads", [1, 2])
def test_floats(every_level, name, threads):
    model, x = Model.sequential(models()[name]), draw(10, 4, 7, 3)
    y = model.predict(x, threads=threads)
    assert model._chain.whole(x, threads) is not None
    other = the_long_way(model, x)
    assert y.shape == other.shape
    assert np.array_equal(y.view(np.uint32), other.view(np.uint32))
    assert np.array_equal(model.predict(x.astype(np.float64)), y)


@pytest.mark.parametrize("rows", [20, 2000])  # with a table of the gates' input part, and too many rows for one
def test_ids(rows):
    for mask_zero in (False, True):
        model = Model.sequential([Embedding("words", draw(11, rows, 3), mask_zero=mask_zero), *models()["head"]])
        ids = np.random.default_rng(12).integers(1, rows, (3, 6))
        assert np.array_equal(model.predict(ids).view(np.uint32), the_long_way(model, ids).view(np.uint32))
        with pytest.raises(InputError, match=f"from 0 to {rows - 1}, got"):
            model.predict(ids + rows)
        if mask_zero:
            ids[1, 4:] = 0
            assert model._chain.whole(ids, 1) is None
            assert np.array_equal(model.predict(ids)[1], model.predict(ids[1:2, :4])[0])


def test_what_is_not_plain_goes_the_long_way():
    model, x = Model.sequential(models()["one"]), draw(13, 2, 5, 3)
    for irregular in (x.tolist(), x[:, :, :2], x[0], x[:0], x.astype(np.float64)):
        assert model._chain.whole(irregular, 1) is None
    x[1, 2, 0] = np.nan
    with pytest.raises(InputError, match="must be finite, got nan in row 1, step 2"):
        model.predict(x)
