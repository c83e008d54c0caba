# SPDX-License-Identifier: Apache-2.0
"""From a clean page to a scan: turned a little, blurred, noisy; boxes turn with the page."""

from __future__ import annotations

import dataclasses
import math
import random

from PIL import Image, ImageChops, ImageFilter

from airflow_provider_aigen.simulator.truth import Degradation, TrueField

__all__ = ["degraded", "draw_degradation", "turned"]

# Share of the books, blur radius in px, noise in grey levels, rotation in degrees either way.
LEVELS = ((0.5, (0.3, 0.6), (2, 4), 0.3), (0.35, (0.8, 1.3), (5, 9), 0.9), (0.15, (1.9, 2.6), (10, 15), 1.6))
SCANNER_LID = (236, 236, 232)


def draw_degradation(chance: random.Random) -> Degradation:
    """How bad a scan is: half of them good, half of the rest bad enough that fields get lost."""
    luck = chance.random()
    for share, blur, noise, rotation in LEVELS:
        if luck < share or share == LEVELS[-1][0]:
            return Degradation(
                round(chance.uniform(*blur), 2),
                round(chance.uniform(*noise), 2),
                round(chance.uniform(-rotation, rotation), 2),
            )
        luck -= share
    raise AssertionError("the last level takes the rest")


def degraded(image: Image.Image, how: Degradation, chance: random.Random) -> Image.Image:
    """The scan of a page. Equal for equal arguments, on one version of Pillow."""
    # The blur after it smooths the steps that the nearest pixel leaves; interpolating would take seven times as long.
    image = image.rotate(how.rotation, resample=Image.Resampling.NEAREST, fillcolor=SCANNER_LID)
    # A box of the same deviation as a Gaussian blur of this radius, in half the time.
    image = image.filter(ImageFilter.BoxBlur((math.sqrt(12 * how.blur**2 + 1) - 1) / 2))
    if not how.noise:
        return image
    # Noise of a scanner is softer than a pixel; half the size is a quarter of the work as well.
    small = (image.width // 2 + 1, image.height // 2 + 1)
    grey = Image.frombytes("L", small, chance.randbytes(small[0] * small[1]))
    # Even bytes have a deviation of 74 grey levels.
    grey = grey.point([round(128 + (value - 127.5) * how.noise / 74) for value in range(256)])
    grey = grey.resize(image.size, Image.Resampling.BILINEAR)
    return ImageChops.add(image, Image.merge("RGB", (grey, grey, grey)), 1, -128)


def turned(fields: dict[str, TrueField], how: Degradation, size: tuple[int, int]) -> dict[str, TrueField]:
    """The fields' boxes after `degraded`: corners go round with the page, still clockwise from the text's top left."""
    cos, sin = math.cos(math.radians(how.rotation)), math.sin(math.radians(how.rotation))
    centre_x, centre_y = size[0] / 2, size[1] / 2

    def turn(corner: tuple[int, int]) -> tuple[int, int]:
        x, y = corner[0] - centre_x, corner[1] - centre_y
        return round(centre_x + x * cos + y * sin), round(centre_y - x * sin + y * cos)

    return {
        name: dataclasses.replace(field, boxes=tuple(tuple(map(turn, box)) for box in field.boxes))
        for name, field in fields.items()
    }
