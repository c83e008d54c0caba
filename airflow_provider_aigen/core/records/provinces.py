# SPDX-License-Identifier: Apache-2.0
"""The 77 provinces of Thailand by their names, as documents write them.

The table stands here because ``core`` imports nothing outside the standard library, and because it is small. A test
compares it with PyThaiNLP's.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from airflow_provider_aigen.core.records.text import loose, tidy

__all__ = ["PROVINCES", "Province", "read_province"]


class Province(NamedTuple):
    """A province by its canonical Thai name, with its code of ISO 3166-2."""

    name: str
    code: str


# By ISO 3166-2:TH, in which Bangkok is a province as well.
PROVINCES = {
    10: "กรุงเทพมหานคร", 11: "สมุทรปราการ", 12: "นนทบุรี", 13: "ปทุมธานี", 14: "พระนครศรีอยุธยา", 15: "อ่างทอง",
    16: "ลพบุรี", 17: "สิงห์บุรี", 18: "ชัยนาท", 19: "สระบุรี", 20: "ชลบุรี", 21: "ระยอง", 22: "จันทบุรี", 23: "ตราด",
    24: "ฉะเชิงเทรา", 25: "ปราจีนบุรี", 26: "นครนายก", 27: "สระแก้ว", 30: "นครราชสีมา", 31: "บุรีรัมย์", 32: "สุรินทร์",
    33: "ศรีสะเกษ", 34: "อุบลราชธานี", 35: "ยโสธร", 36: "ชัยภูมิ", 37: "อำนาจเจริญ", 38: "บึงกาฬ", 39: "หนองบัวลำภู",
    40: "ขอนแก่น", 41: "อุดรธานี", 42: "เลย", 43: "หนองคาย", 44: "มหาสารคาม", 45: "ร้อยเอ็ด", 46: "กาฬสินธุ์",
    47: "สกลนคร", 48: "นครพนม", 49: "มุกดาหาร", 50: "เชียงใหม่", 51: "ลำพูน", 52: "ลำปาง", 53: "อุตรดิตถ์", 54: "แพร่",
    55: "น่าน", 56: "พะเยา", 57: "เชียงราย", 58: "แม่ฮ่องสอน", 60: "นครสวรรค์", 61: "อุทัยธานี", 62: "กำแพงเพชร",
    63: "ตาก", 64: "สุโขทัย", 65: "พิษณุโลก", 66: "พิจิตร", 67: "เพชรบูรณ์", 70: "ราชบุรี", 71: "กาญจนบุรี",
    72: "สุพรรณบุรี", 73: "นครปฐม", 74: "สมุทรสาคร", 75: "สมุทรสงคราม", 76: "เพชรบุรี", 77: "ประจวบคีรีขันธ์",
    80: "นครศรีธรรมราช", 81: "กระบี่", 82: "พังงา", 83: "ภูเก็ต", 84: "สุราษฎร์ธานี", 85: "ระนอง", 86: "ชุมพร",
    90: "สงขลา", 91: "สตูล", 92: "ตรัง", 93: "พัทลุง", 94: "ปัตตานี", 95: "ยะลา", 96: "นราธิวาส",
}  # fmt: skip
# Short names, old spellings, and provinces that are part of another today.
_ALSO = {
    10: ("กรุงเทพ", "กทม.", "พระนคร", "ธนบุรี", "นครหลวงกรุงเทพธนบุรี"),
    13: ("ประทุมธานี",),
    14: ("อยุธยา", "กรุงเก่า", "พระนครศรีอยุทธยา"),
    16: ("ลพะบุรี",),
    17: ("สิงหบุรี",),
    18: ("ไชยนาท",),
    22: ("จันทรบุรี",),
    23: ("ตราษ",),
    24: ("แปดริ้ว",),
    25: ("ปราจิณบุรี",),
    30: ("โคราช",),
    33: ("ศรีษะเกษ", "ศีร์ษะเกษ", "ขุขันธ์"),
    34: ("อุบล",),
    36: ("ไชยภูมิ",),
    39: ("หนองบัวลำพู",),
    41: ("อุดร",),
    45: ("ร้อยเอ็จ",),
    53: ("อุตตรดิตถ์", "อุตรดิฐ"),
    61: ("อุไทยธานี",),
    62: ("กำแพงเพ็ชร์",),
    65: ("พิศณุโลก",),
    67: ("เพ็ชรบูรณ์",),
    76: ("เพ็ชรบุรี",),
    77: ("ประจวบ", "ประจวบคิรีขันธ์"),
    83: ("ภูเก็จ",),
    84: ("สุราษร์ธานี",),
    91: ("สะตูล",),
}
_BY_NAME = {
    loose(name): Province(canonical, f"TH-{number}")
    for number, canonical in PROVINCES.items()
    for name in (canonical, *_ALSO.get(number, ()))
}
# A district that registers vehicles: its plates name it in place of Yala, in which it lies.
_BY_NAME["เบตง"] = Province("เบตง", "TH-95")

_PREFIX = re.compile(r"\A(?:จังหวัด|จว?\.|จว?\s)\s?")


def read_province(value: str) -> Province | None:
    """The province that ``value`` names, with a prefix or without; None for anything else. Betong, which is a province
    to plates only, keeps its name and has the code of Yala."""
    return _BY_NAME.get(loose(_PREFIX.sub("", tidy(value), count=1)))
