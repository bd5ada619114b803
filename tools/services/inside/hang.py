"""Loaded by every Python that has it as sitecustomize: SIGUSR1 hangs the main thread, and nothing else."""

import signal
import time


def hang(number: int, frame: object) -> None:
    time.sleep(3600)


signal.signal(signal.SIGUSR1, hang)
