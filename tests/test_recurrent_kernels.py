"""The compiled cells: against plain Python, and against themselves cut up in every way."""

import sys
import threading
import tracemalloc
from types import SimpleNamespace

import naive_cells as naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recurrent_weights import KINDS, PARAMETERS, Weights, assert_bits, assert_states, floats, state_of

from kiyas import kernels
from kiyas.errors import InputError
from kiyas.kernels import _native
from kiyas.kernels import recurrent as r
from kiyas.kernels.argmax import Argmax

SIZES = ((1, 1), (3, 5), (16, 16), (33, 20))


# ---- against the equations ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n, m", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_follows_the_equations(every_level, kind, n, m):
    rng = np.random.default_rng(1)
    w = Weights(kind, n, m)
    kernel, x = w.kernel(), floats(rng, 2, 5, m)
    state = state_of(rng, kernel, 2)
    y, end = kernel.sequence(x, state)
    for b in range(2):
        wanted, last = naive.sequence(w.step(), x[b], tuple(s[b].tolist() for s in state))
        np.testing.assert_allclose(y[b], wanted, rtol=0, atol=2e-6)
        for mine, theirs in zip(end, last, strict=True):
            np.testing.assert_allclose(mine[b], theirs, rtol=0, atol=2e-6)


@pytest.mark.parametrize("activation", sorted(naive.ACTIVATIONS))
@pytest.mark.parametrize("kind", KINDS)
def test_every_activation_in_a_cell(every_level, kind, activation):
    chosen = (activation, PARAMETERS[activation]) if activation in PARAMETERS else activation
    w = Weights(kind, 5, 3)
    x = floats(np.random.default_rng(2), 1, 3, 3)
    kernel = w.kernel(gate="hard_sigmoid_fifth", activation=chosen, output="softsign" if kind == "lstm" else None)
    twin = w.step("hard_sigmoid_fifth", chosen, "softsign" if kind == "lstm" else None)
    wanted, _ = naive.sequence(twin, x[0], tuple([0.0] * 5 for _ in range(kernel.states)))
    np.testing.assert_allclose(kernel.sequence(x)[0][0], wanted, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("gate", ["hard_sigmoid", ("hard_sigmoid", {"alpha": 0.25, "beta": 0.5}), "relu"])
@pytest.mark.parametrize("kind", ["lstm", "gru_after", "gru_before"])
def test_other_gates(every_level, kind, gate):
    w = Weights(kind, 7, 4)
    x = floats(np.random.default_rng(3), 1, 3, 4)
    kernel = w.kernel(gate=gate)
    wanted, _ = naive.sequence(w.step(gate), x[0], tuple([0.0] * 7 for _ in range(kernel.states)))
    np.testing.assert_allclose(kernel.sequence(x)[0][0], wanted, rtol=1e-5, atol=2e-6)


def test_an_activation_may_be_an_object_with_name_and_parameters():
    w = Weights("simple", 4, 3)
    x = floats(np.random.default_rng(4), 1, 2, 3)
    named = SimpleNamespace(name="elu", parameters={"alpha": 0.5})
    assert_bits(w.kernel(activation=named).sequence(x)[0], w.kernel(activation=("elu", {"alpha": 0.5})).sequence(x)[0])


def test_without_biases():
    w = Weights("gru_after", 4, 3)
    x = floats(np.random.default_rng(5), 2, 4, 3)
    zeros = np.zeros(12, np.float32)
    for bias, recurrent_bias in ((None, None), (zeros, None), (None, zeros)):
        kernel = r.GRUKernel(w.W, w.R, bias, recurrent_bias, True)
        assert_bits(kernel.sequence(x)[0], r.GRUKernel(w.W, w.R, zeros, zeros, True).sequence(x)[0])


# ---- the same bits however it is cut ------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", r.PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n, m", [(1, 2), (20, 9), (64, 64), (70, 131)])
def test_steps_chunks_batches_and_threads_give_the_same_bits(every_level, kind, precision, n, m):
    rng = np.random.default_rng(6)
    kernel, x = Weights(kind, n, m).kernel(precision), floats(rng, 9, 13, m)
    state = state_of(rng, kernel, 9)
    before = tuple(s.copy() for s in state)
    y, end = kernel.sequence(x, state)
    assert_states(state, before)

    now = state
    for t in range(13):
        h, now = kernel.step(np.ascontiguousarray(x[:, t]), now)
        assert_bits(h, np.ascontiguousarray(y[:, t]))
    assert_states(now, end)

    first, middle = kernel.sequence(x[:, :5], state)
    rest, last = kernel.sequence(x[:, 5:], middle)
    assert_bits(np.concatenate([first, rest], axis=1), y)
    assert_states(last, end)

    for b in (0, 4, 8):
        alone, alone_end = kernel.sequence(x[b:b + 1], tuple(s[b:b + 1] for s in state))
        assert_bits(alone[0], y[b])
        assert_states(tuple(s[0] for s in alone_end), tuple(s[b] for s in end))

    many = np.concatenate([floats(rng, 51, 13, m), x])  # enough rows for the product not to be hoisted
    filled = tuple(np.concatenate([floats(rng, 51, n), s]) for s in state)
    assert_bits(kernel.sequence(many, filled)[0][51:], y)

    for threads in (2, 3):
        again, again_end = kernel.sequence(x, state, threads=threads)
        assert_bits(again, y)
        assert_states(again_end, end)

    final, final_end = kernel.last(x, state)
    assert_bits(final, np.ascontiguousarray(y[:, -1]))
    assert_states(final_end, end)


@pytest.mark.parametrize("precision", r.PRECISIONS)
@pytest.mark.parametrize("n, m", [(48, 48), (80, 8), (80, 7), (112, 33), (128, 300), (129, 6), (144, 1)])
def test_a_long_row_whose_product_goes_ahead_of_its_steps_gives_the_bits_of_steps(every_level, precision, n, m):
    rng = np.random.default_rng(61)
    kernel = Weights("lstm", n, m).kernel(precision)
    state = state_of(rng, kernel, 1)
    for time in (1, 7, 8, 9, 15, 16, 17, 33):
        x = floats(rng, 1, time, m)
        y, end = kernel.sequence(x, state)
        now = state
        for t in range(time):
            h, now = kernel.step(np.ascontiguousarray(x[:, t]), now)
            assert_bits(h, np.ascontiguousarray(y[:, t]))
        assert_states(now, end)

    x = floats(rng, 1, 33, m)
    backwards = kernel.sequence(np.ascontiguousarray(x[:, ::-1]), state)[0]
    assert_bits(kernel.sequence(x, state, reverse=True)[0], np.ascontiguousarray(backwards[:, ::-1]))
    mask = rng.random((1, 33)) < 0.7
    masked, end = kernel.sequence(x, state, mask=mask)
    kept, kept_end = kernel.sequence(np.ascontiguousarray(x[:, mask[0]]), state)
    assert_bits(np.ascontiguousarray(masked[:, mask[0]]), kept)
    assert_states(end, kept_end)
    for length in (0, 1, 8, 19, 32):
        cut, end = kernel.sequence(x, state, lengths=[length])
        short, short_end = kernel.sequence(np.ascontiguousarray(x[:, :length]), state)
        assert_bits(np.ascontiguousarray(cut[:, :length]), short)
        assert_states(end, short_end)


@pytest.mark.parametrize("n, m", [(450, 437), (433, 446), (300, 1001)])
def test_blocks_of_many_rows_that_go_ahead_give_the_bits_of_steps(every_level, n, m):
    """Long sequences of large int8 cells have larger blocks; odd numbers of panels and of groups of inputs."""
    rng = np.random.default_rng(62)
    kernel = Weights("lstm", n, m).kernel("int8")
    state = state_of(rng, kernel, 1)
    x = floats(rng, 1, 103, m)
    steps, states = [], [state]
    for t in range(103):
        h, now = kernel.step(np.ascontiguousarray(x[:, t]), states[-1])
        steps.append(h)
        states.append(now)
    whole = np.stack(steps, axis=1)
    for time in (63, 64, 65, 71, 72, 79, 80, 81, 96, 103):
        for threads in (1, 2):
            y, end = kernel.sequence(np.ascontiguousarray(x[:, :time]), state, threads=threads)
            assert_bits(y, np.ascontiguousarray(whole[:, :time]))
            assert_states(end, states[time])
        cut, end = kernel.sequence(x, state, lengths=[time])
        assert_bits(np.ascontiguousarray(cut[:, :time]), np.ascontiguousarray(whole[:, :time]))
        assert_states(end, states[time])


@pytest.mark.parametrize("kind", ["lstm", "gru_before"])
def test_very_many_rows_give_the_bits_of_few(every_level, kind):
    """Numbers of rows whose square is beyond 32 bits many times over."""
    rng = np.random.default_rng(63)
    kernel, x = Weights(kind, 2, 1).kernel(), floats(rng, 8, 2, 1)
    few, end = kernel.sequence(x)
    y, many_end = kernel.sequence(np.tile(x, (20_000, 1, 1)))
    assert_bits(y, np.tile(few, (20_000, 1, 1)))
    assert_states(many_end, tuple(np.tile(s, (20_000, 1)) for s in end))


@pytest.mark.parametrize("precision", r.PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shared", ["units", "units of one row", "rows"])
def test_threads_that_are_worth_their_start_change_no_bit(every_level, kind, precision, shared):
    """Small calls start none; here the work is enough for them. Large cells share the units of few rows."""
    rng = np.random.default_rng(7)
    units = 810 if kind == "simple" else 410
    n, batch, time = {"rows": (160, 9, 60), "units": (units, 2, 12), "units of one row": (units, 1, 24)}[shared]
    kernel, x = Weights(kind, n, 24).kernel(precision), floats(rng, batch, time, 24)
    lengths, mask = rng.integers(time - 3, time + 1, batch), rng.random((batch, time)) < 0.9
    for options in ({}, {"lengths": lengths, "reverse": True}, {"mask": mask}):
        y, end = kernel.sequence(x, **options)
        for threads in (2, 3):
            again, again_end = kernel.sequence(x, threads=threads, **options)
            assert_bits(again, y)
            assert_states(again_end, end)


@pytest.mark.parametrize("rows", [1, 3, 25])
@pytest.mark.parametrize("precision", r.PRECISIONS)
def test_large_products_shared_by_threads(every_level, precision, rows):
    rng = np.random.default_rng(24)
    linear, x = r.Linear(floats(rng, 8_500, 1000), None, precision), floats(rng, rows, 1000)
    for threads in (2, 3):
        assert_bits(linear(x, threads=threads), linear(x))


def unaligned(x):
    """The same numbers, not on an address that their type asks for."""
    other = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    other[...] = x
    assert not other.flags.aligned
    return other


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_that_are_not_aligned_are_read_all_the_same(kind):
    rng = np.random.default_rng(62)
    kernel, x = Weights(kind, 20, 9).kernel(), floats(rng, 2, 5, 9)
    state = state_of(rng, kernel, 2)
    apart = tuple(unaligned(s) for s in state)
    for given_, now in ((unaligned(x), state), (x, apart), (unaligned(x), apart)):
        assert_bits(kernel.sequence(given_, now)[0], kernel.sequence(x, state)[0])
        assert_bits(kernel.last(given_, now)[0], kernel.last(x, state)[0])
        step = unaligned(x[:, 0]) if given_ is not x else x[:, 0].copy()
        assert_bits(kernel.step(step, now)[0], kernel.step(x[:, 0].copy(), state)[0])
    for big_endian in (x.astype(">f4"), x.astype(">f8")):
        assert_bits(kernel.sequence(big_endian, state)[0], kernel.sequence(x, state)[0])
    linear, stepper = r.Linear(floats(rng, 3, 9)), r.Stepper([kernel], 2)
    assert_bits(linear(unaligned(x[:, 0])), linear(x[:, 0].copy()))
    first = stepper.step(unaligned(x[:, 0]))
    stepper.reset()
    assert_bits(first, stepper.step(x[:, 0].copy()))
    with pytest.raises(InputError, match=r"'out' must be a writable contiguous .*, not aligned"):
        linear(x[:, 0].copy(), unaligned(np.zeros((2, 3), np.float32)))
    table = floats(rng, 30, 9)
    embedded, ids = Weights(kind, 20, 9).kernel("float32", table), rng.integers(0, 30, (2, 5))
    assert_bits(embedded.sequence(unaligned(ids))[0], embedded.sequence(ids)[0])
    assert_bits(embedded.step(unaligned(ids[:, 0]))[0], embedded.step(ids[:, 0].copy())[0])


def test_what_is_no_array_is_an_error_in_words(monkeypatch):
    kernel = Weights("lstm", 20, 9).kernel()
    for call in (kernel.sequence, kernel.last, kernel.step, r.Linear(np.ones((3, 9), np.float32))):
        with pytest.raises(InputError, match="'x' must be numbers of shape"):
            call(None)
    monkeypatch.setattr(r, "TABLE_BYTES", 0)  # ids stay ids where they are looked up
    kernel = Weights("lstm", 20, 9).kernel("float32", np.ones((30, 9), np.float32))
    for call, shape in ((kernel.sequence, (2, 5, 9)), (kernel.last, (2, 5, 9)), (kernel.step, (2, 9))):
        with pytest.raises(InputError, match=r"'x' must be ids \(integers\)"):
            call(np.ones(shape, np.float32), kernel.zeros(2))


@pytest.mark.parametrize("precision", r.PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_rows_of_the_embedding(every_level, kind, precision, monkeypatch):
    rng = np.random.default_rng(8)
    w, table, ids = Weights(kind, 20, 7), floats(rng, 111, 7), rng.integers(0, 111, (5, 6))
    y, end = w.kernel(precision).sequence(table[ids])
    kernel = w.kernel(precision, table)
    for given_ in (ids, ids.astype(np.int32), ids.astype(np.uint8)):
        again, again_end = kernel.sequence(given_)
        assert_bits(again, y)
        assert_states(again_end, end)
    now = kernel.zeros(5)
    for t in range(6):
        h, now = kernel.step(ids[:, t].copy(), now)
        assert_bits(h, np.ascontiguousarray(y[:, t]))
    monkeypatch.setattr(r, "TABLE_BYTES", 0)  # too large a vocabulary: the same by another way
    looked_up = w.kernel(precision, table)
    assert looked_up.nbytes < kernel.nbytes
    assert_bits(looked_up.sequence(ids)[0], y)
    assert_bits(looked_up.step(ids[:, 0].copy())[0], np.ascontiguousarray(y[:, 0]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_takes_no_more_than_it_may(every_level, kind, monkeypatch):
    w, table = Weights(kind, 20, 7), floats(np.random.default_rng(8), 111, 7)
    bare = w.kernel().nbytes
    taken = set()
    for most in range(0, 100_000, 2000):
        monkeypatch.setattr(r, "TABLE_BYTES", most)
        taken.add(w.kernel(embedding=table).nbytes - bare)
        assert max(taken) <= most
    assert len(taken) == 2  # no table, and the whole


@pytest.mark.parametrize("kind", KINDS)
def test_levels_agree(kind, monkeypatch):
    w, x = Weights(kind, 40, 30), floats(np.random.default_rng(9), 3, 20, 30)
    for precision in r.PRECISIONS:
        found = []
        for level in kernels.levels():
            monkeypatch.setenv(kernels.LEVEL_VARIABLE, level)
            found.append(w.kernel(precision).sequence(x)[0])
        for y in found[1:]:
            # What is rounded to steps may fall to the next step; float32 may not differ by more than it rounds.
            np.testing.assert_allclose(y, found[0], rtol=0, atol=1e-6 if precision == "float32" else 2e-3)


def test_levels_with_vectors_sum_alike(monkeypatch):
    levels = kernels.levels()[1:]
    rng = np.random.default_rng(10)
    x, w, b = floats(rng, 7, 50), floats(rng, 33, 50), floats(rng, 33)
    for precision in ("float32", "int8"):
        found = []
        for level in levels:
            monkeypatch.setenv(kernels.LEVEL_VARIABLE, level)
            found.append(r.Linear(w, b, precision)(x))
        for y in found[1:]:
            assert_bits(y, found[0])


# ---- masks, lengths, direction ------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10_000), kind=st.sampled_from(KINDS), batch=st.integers(1, 7), time=st.integers(0, 9),
       masked=st.booleans(), cut=st.booleans(), reverse=st.booleans(), zero_masked=st.booleans(),
       threads=st.integers(1, 3), precision=st.sampled_from(r.PRECISIONS))
def test_masks_lengths_and_direction(seed, kind, batch, time, masked, cut, reverse, zero_masked, threads, precision):
    rng = np.random.default_rng(seed)
    kernel = Weights(kind, 6, 3).kernel(precision)
    x, state = floats(rng, batch, time, 3), state_of(rng, kernel, batch)
    mask = rng.random((batch, time)) < 0.6 if masked else None
    lengths = rng.integers(0, time + 1, batch) if cut else None
    options = {"lengths": lengths, "mask": mask, "reverse": reverse, "threads": threads}
    y, end = kernel.sequence(x, state, zero_masked=zero_masked, **options)
    last, last_end = kernel.last(x, state, **options)
    assert_states(last_end, end)
    for b in range(batch):
        def step(x_t, s):  # a step of ours: its equations are tested above
            return tuple(a[0] for a in kernel.step(x_t[None], tuple(np.asarray(a, np.float32)[None] for a in s))[1])

        wanted, final = naive.sequence(step, x[b], tuple(s[b] for s in state), None if lengths is None else lengths[b],
                                       None if mask is None else mask[b], zero_masked, reverse)
        if time:
            assert_bits(y[b], np.array(wanted, np.float32))
        assert_states(tuple(s[b] for s in end), final)
        length = time if lengths is None else lengths[b]
        taken = length if mask is None else mask[b, :length].sum()
        assert_bits(last[b], final[0] if taken else np.zeros(6, np.float32))


# ---- what stays outside -------------------------------------------------------------------------------------------


def test_denormals_are_flushed_inside_and_nowhere_else(every_level):
    assert not _native.flushes_denormals()
    tiny = np.full((1, 16), 1e-40, np.float32)
    w = np.eye(16, dtype=np.float32)
    assert not r.Linear(w)(tiny).any()
    assert not _native.flushes_denormals()
    for kind in KINDS:
        kernel = Weights(kind, 16, 16).kernel()
        kernel.step(tiny)
        kernel.sequence(tiny[None], threads=2)
        kernel.last(tiny[None])
        with pytest.raises(InputError):
            kernel.step(tiny[:, :3])
        assert not _native.flushes_denormals()
    r.activate("tanh", tiny)
    r.softmax(tiny)
    stepper = r.Stepper([Weights("lstm", 16, 16).kernel()])
    stepper.step(tiny)
    assert not _native.flushes_denormals()
    assert (tiny * np.float32(0.5)).all()  # NumPy still has denormals


def test_other_threads_run_during_long_calls():
    kernel = Weights("lstm", 256, 16).kernel()
    x = floats(np.random.default_rng(18), 1, 20_000, 16)
    interval = sys.getswitchinterval()
    done = threading.Event()
    turns = 0
    sys.setswitchinterval(100)  # nobody takes turns unless the lock is given up
    try:
        worker = threading.Thread(target=lambda: (kernel.last(x), done.set()))
        worker.start()
        while not done.wait(0.001):
            turns += 1
        worker.join()
    finally:
        sys.setswitchinterval(interval)
    assert turns > 3


def test_nothing_is_allocated_where_out_is_given():
    kernel = Weights("lstm", 1024, 4).kernel()
    linear, x = r.Linear(kernel_weights(4, 4096)), np.ones((1, 4), np.float32)
    state, y = kernel.zeros(1), np.empty((1, 4096), np.float32)
    stepper, z = r.Stepper([kernel]), np.empty((1, 1024), np.float32)
    calls = (lambda: kernel.step(x, state, out=state), lambda: linear(x, out=y), lambda: stepper.step(x, out=z))
    for call in calls:
        call()
    tracemalloc.start()
    try:
        for call in calls:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            call()
            assert tracemalloc.get_traced_memory()[1] - before < 2000  # an array of 1024 has 4096 bytes
    finally:
        tracemalloc.stop()


def kernel_weights(inputs, outputs):
    return floats(np.random.default_rng(19), outputs, inputs)


def test_out_is_written_to_and_may_be_the_state():
    w = Weights("lstm", 9, 4)
    kernel, x = w.kernel(), floats(np.random.default_rng(20), 3, 4)
    state = state_of(np.random.default_rng(21), kernel, 3)
    y, new = kernel.step(x, state)
    into = tuple(np.empty((3, 9), np.float32) for _ in range(2))
    h, same = kernel.step(x, state, out=into)
    assert h is into[0]
    assert same[1] is into[1]
    assert_states(into, new)
    kernel.step(x, state, out=state)
    assert_states(state, new)
    out = np.empty((3, 1, 9), np.float32)
    assert kernel.sequence(x[:, None], out=out)[0] is out
    assert_bits(y, h)


# ---- steps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", r.PRECISIONS)
def test_a_stepper_is_its_cells_one_after_another(every_level, precision):
    rng = np.random.default_rng(22)
    table, ids = floats(rng, 30, 5), rng.integers(0, 30, (2, 6))
    first, second = Weights("lstm", 12, 5).kernel(precision, table), Weights("gru_after", 8, 12).kernel(precision)
    head = r.Linear(floats(rng, 40, 8), floats(rng, 40), precision)
    stepper = r.Stepper([first, second], batch=2, head=head, activation="softmax")
    plain = r.Stepper([first, second], batch=2, activation="relu")
    h, _ = second.sequence(first.sequence(ids)[0])
    for t in range(6):
        if t == 3:
            held = stepper.state
        assert_bits(stepper.step(ids[:, t].copy()), r.softmax(head(np.ascontiguousarray(h[:, t]))))
        assert_bits(plain.step(ids[:, t].astype(np.int32)), r.activate("relu", h[:, t]))
    ends = stepper.state
    stepper.state = held
    for t in range(3, 6):
        out = np.empty((2, 40), np.float32)
        assert stepper.step(ids[:, t].copy(), out=out) is out
    for a, b in zip(stepper.state, ends, strict=True):
        assert_states(a, b)
    stepper.reset()
    assert_bits(stepper.step(ids[:, 0].copy()), r.softmax(head(np.ascontiguousarray(h[:, 0]))))


def test_a_stepper_of_one_row_takes_plain_ids():
    rng = np.random.default_rng(23)
    kernel = Weights("lstm", 12, 5).kernel(embedding=floats(rng, 30, 5))
    a, b = r.Stepper([kernel]), r.Stepper([kernel])
    for i in (3, 29, 0):
        assert_bits(a.step(i), b.step(np.array([i])))
    for wrong in (30, -1):
        with pytest.raises(InputError, match="'x' must be ids from 0 to 29, got"):
            a.step(wrong)


# ---- errors -------------------------------------------------------------------------------------------------------


def test_errors_name_what_is_wanted_and_what_came():
    w = Weights("lstm", 4, 3)
    kernel, x = w.kernel(), np.zeros((2, 5, 3), np.float32)
    cases = [
        (lambda: r.LSTMKernel(w.W, w.R[:12], w.b),
         r"'recurrent_weights' must be of shape \(16, 4\), got shape \(12, 4\)"),
        (lambda: r.LSTMKernel(w.W[:12], w.R, w.b),
         r"'input_weights' must be of shape \(16, inputs\), got shape \(12, 3\)"),
        (lambda: r.LSTMKernel(w.W, w.R, w.b[:3]), r"'bias' must be of shape \(16,\), got shape \(3,\)"),
        (lambda: r.LSTMKernel(w.W, w.R, activation="sine"), "'activation' must be one of linear, .*, got 'sine'"),
        (lambda: r.LSTMKernel(w.W, w.R, activation=("elu", {"beta": 1})), "must be elu with alpha, got beta"),
        (lambda: r.LSTMKernel(w.W, w.R, precision="float16"), "'precision' must be one of float32, bfloat16, int8"),
        (lambda: r.Linear(np.zeros((1, 140_000)), precision="int8"), "float32 or bfloat16 for more than 130000 inputs"),
        (lambda: r.LSTMKernel(w.W, w.R, embedding=np.zeros((9, 2))),
         r"'embedding' must be of shape \(outputs, 3\), got shape \(9, 2\)"),
        (lambda: kernel.sequence(x[..., :2]), r"'x' must be of shape \(batch, time, 3\), got shape \(2, 5, 2\)"),
        (lambda: kernel.sequence(x.astype(str)), "numbers of shape"),
        (lambda: kernel.step(x), r"'x' must be of shape \(batch, 3\), got shape \(2, 5, 3\)"),
        (lambda: kernel.sequence(x, kernel.zeros(3)),
         r"'state' must be 2 arrays of shape \(2, 4\), got shapes \(3, 4\)"),
        (lambda: kernel.step(x[:, 0], (x[0],)), r"'state' must be 2 arrays of shape \(2, 4\)"),
        (lambda: kernel.step(x[:, 0], out=(x[0],)),
         r"'out' must be a writable contiguous float32 array of shape \(2, 4\)"),
        (lambda: kernel.sequence(x, lengths=[1, 6]), "'lengths' must be 2 integers from 0 to 5"),
        (lambda: kernel.sequence(x, lengths=[1.5, 2]), "'lengths' must be 2 integers"),
        (lambda: kernel.sequence(x, mask=np.ones((2, 4), bool)),
         r"'mask' must be of shape \(2, 5\), got shape \(2, 4\)"),
        (lambda: kernel.sequence(x, threads=0), "'threads' must be an integer from 1 to 256, got 0"),
        (lambda: kernel.sequence(x, out=np.empty((2, 5, 4))), "'out' must be a writable contiguous float32"),
        (lambda: w.kernel(embedding=np.zeros((9, 3))).sequence(x), r"ids \(integers\) of shape \(batch, time\)"),
        (lambda: w.kernel(embedding=np.zeros((9, 3))).step(np.array([9])), "ids from 0 to 8, got 9"),
        (lambda: w.kernel(embedding=np.zeros((9, 3))).sequence(np.array([[1, -2]])), "ids from 0 to 8, got -2"),
        (lambda: r.GRUKernel(w.W[:12], w.R[:12], recurrent_bias=np.zeros(12)),
         "None where the reset is applied before"),
        (lambda: r.Linear(w.W)(x[0, :, :2]), r"'x' must be of shape \(rows, 3\), got shape \(5, 2\)"),
        (lambda: r.Linear(w.W)(x[0], out=np.empty((5, 3), np.float32)), r"'out' must be .* of shape \(5, 16\)"),
        (lambda: r.Stepper([]), "'kernels' must be one at least"),
        (lambda: r.Stepper([kernel, kernel]), "each takes the 4 outputs of the one before, got 3"),
        (lambda: r.Stepper([kernel], head=r.Linear(w.W)), "'head' must be of 4 inputs, got 3"),
        (lambda: r.Stepper([kernel]).step_argmax(x[:1, 0], Argmax(r.Linear(w.W), w.W)),
         "'argmax' must be of 4 inputs, got 3"),
        (lambda: r.Stepper([kernel]).step(x[:, 0]), "'x' must be of batch 1, got 2"),
        (lambda: r.Stepper([kernel]).step(np.full((1, 3), np.nan)), "'x' must be finite, got NaN or infinity"),
        (lambda: r.softmax(np.zeros((2, 0))), "at least one number along the last axis"),
        (lambda: r.activate("tanh", x, out=x[0]), "'out' must be a writable"),
    ]
    for call, words in cases:
        with pytest.raises(InputError, match=words):
            call()


def test_layers_that_no_kernel_computes_are_refused_with_the_reason():
    w = Weights("lstm", 4, 3)

    class LSTM(SimpleNamespace):
        pass

    layer = LSTM(input_weights=w.W, recurrent_weights=w.R, bias=w.b, recurrent_activation="sigmoid", activation="tanh",
                 output_activation=None)
    assert r.find(layer).reason == ""
    assert_bits(r.find(layer, "int8").kernel.step(np.ones((1, 3), np.float32))[0],
                w.kernel("int8").step(np.ones((1, 3), np.float32))[0])
    for option, value, reason in (("peephole", w.b, "peephole"), ("projection", w.W, "projection"),
                                  ("coupled", True, "coupled gates"), ("clip", 1.0, "clip"),
                                  ("layer_norm", object(), "layer normalization"),
                                  ("activation", SimpleNamespace(name="affine"), "activation affine")):
        found = r.find(LSTM(**{**vars(layer), option: value}))
        assert found == (None, f"{reason}: not in the compiled cell")
    assert r.find(object()) == (None, "no kernel for object")
