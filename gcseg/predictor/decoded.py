"""Frames of a video, decoded in a thread while others are predicted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from gcseg.data.reading import UInt8Array
from gcseg.errors import DataError
from gcseg.predictor.video import Frame, OpenVideo

AHEAD = 8
"""Number of decoded frames that wait to be predicted."""


class DecodedFrames:
    """Frames that a thread decodes; an iterator and a context manager.

    Frames of a live video that come faster than they are taken are left out, the oldest first, so
    that the newest is never late; their sound stays with the next frame.

    Args:
        video: The open video.
        stop: Event that ends the decoding.
        most: Largest number of frames; None for all.

    Attributes:
        fault: Error with which the video ended in the middle; None if it did not.
        dropped: Number of frames that were left out.
    """

    def __init__(self, video: OpenVideo, stop: threading.Event, most: int | None = None) -> None:
        self.fault: DataError | None = None
        self.dropped = 0
        self._video = video
        self._stop = stop
        self._most = most
        self._waiting: deque[tuple[Frame, UInt8Array]] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._decode, name="decode", daemon=True)

    def __enter__(self) -> DecodedFrames:
        """Begin to decode."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the decoding, and wait for the frame that is being read."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()

    def __iter__(self) -> Iterator[tuple[Frame, UInt8Array]]:
        """Yield each frame and its picture, H x W x 3, as soon as it is there.

        Raises:
            Exception: Decoding failed otherwise than by `DataError`, which `fault` holds.
        """
        while True:
            with self._changed:
                while not self._waiting and not self._ended and not self._stop.is_set():
                    self._changed.wait(0.1)  # in which signals are handled
                if not self._waiting:
                    break
                item = self._waiting.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error

    def _decode(self) -> None:
        try:
            for count, (frame, image) in enumerate(self._video.frames, 1):
                if self._stop.is_set():
                    break
                self._put(frame, image)
                if count == self._most:
                    break
        except DataError as error:
            self.fault = error
        except BaseException as error:  # raised in the thread that takes the frames
            self._error = error
        finally:
            with suppress(AttributeError):  # iterators need not be generators
                self._video.frames.close()  # type: ignore[attr-defined]
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, frame: Frame, image: UInt8Array) -> None:
        with self._changed:
            if self._video.live and len(self._waiting) >= AHEAD:
                old, _ = self._waiting.popleft()
                self.dropped += 1
                self._waiting.append((frame, image))
                first, picture = self._waiting[0]
                self._waiting[0] = (first._replace(sound=old.sound + first.sound), picture)
            else:
                while len(self._waiting) >= AHEAD and not self._stop.is_set():
                    self._changed.wait(0.1)
                self._waiting.append((frame, image))
            self._changed.notify_all()
