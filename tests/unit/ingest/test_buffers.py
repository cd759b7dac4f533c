"""Memory of frames: used again when nothing refers to it any more, and never before."""

import threading

import numpy as np
import zmq

from ingest.buffers import KEPT, FrameBuffers

SHAPE = (2, 8, 8, 3)


def place(pixels: np.ndarray) -> int:
    return int(pixels.ctypes.data)


def test_memory_is_used_again_once_nothing_refers_to_it() -> None:
    buffers = FrameBuffers()
    first = buffers.take(SHAPE)
    assert first.shape == SHAPE
    assert first.flags.writeable
    assert first.flags.c_contiguous
    there = place(first)
    assert place(buffers.take(SHAPE)) != there
    del first
    assert {place(each) for each in [buffers.take(SHAPE) for _ in range(3)]} >= {there}


def test_whoever_still_sees_a_part_of_it_keeps_it() -> None:
    buffers = FrameBuffers()
    whole = buffers.take(SHAPE)
    whole[...] = 7
    view, bytes_of, message = whole[1:, 3], whole.data.cast("B"), zmq.Frame(whole.data.cast("B"), copy=False)
    read = np.frombuffer(message.buffer, np.uint8)
    del whole
    for holder in (view, bytes_of, read):
        others = [buffers.take(SHAPE) for _ in range(3)]
        for each in others:
            each[...] = 0
        assert np.asarray(holder).min() == 7
        del others
    del view, bytes_of, read, message, holder
    assert len(buffers._free) > 0


def test_no_more_than_some_is_kept_and_another_size_gets_its_own() -> None:
    buffers = FrameBuffers()
    many = [buffers.take(SHAPE) for _ in range(3 * KEPT)]
    del many
    assert len(buffers._free) == KEPT
    assert buffers.take((1, 4, 4, 1)).shape == (1, 4, 4, 1)
    assert len(buffers._free) == KEPT


def test_threads_share_it_without_ever_sharing_memory() -> None:
    buffers, wrong = FrameBuffers(), []

    def fill(number: int) -> None:
        for _ in range(300):
            mine = buffers.take(SHAPE)
            mine[...] = number
            if (mine != number).any():
                wrong.append(number)

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
