# SPDX-License-Identifier: Apache-2.0
"""People and vehicles that don't exist. Surnames and streets say so; card numbers fail their check digit, so that they
can't be anybody's; brands, provinces and plates look as they do in Thailand."""

from __future__ import annotations

import random

__all__ = ["invented_book", "invented_card"]

MONTHS = (
    "มกราคม", "กุมภาพันธ์", "มีนาคม", "เมษายน", "พฤษภาคม", "มิถุนายน",
    "กรกฎาคม", "สิงหาคม", "กันยายน", "ตุลาคม", "พฤศจิกายน", "ธันวาคม",
)  # fmt: skip
PROVINCES = (
    "กรุงเทพมหานคร", "กรุงเทพมหานคร", "กรุงเทพมหานคร", "เชียงใหม่", "ขอนแก่น", "ชลบุรี", "นครราชสีมา", "ภูเก็ต", "สงขลา",
    "อุดรธานี", "นนทบุรี", "ปทุมธานี", "สมุทรปราการ", "ระยอง", "พิษณุโลก", "สุราษฎร์ธานี", "อุบลราชธานี", "เชียงราย",
)  # fmt: skip
# Title and the given names that go with it.
PEOPLE = (
    ("นาย", ("สมชาย", "ประเสริฐ", "ณัฐพล", "ธนากร", "อนุชา", "ชัยวัฒน์", "วีระศักดิ์", "เกียรติศักดิ์", "บุญมี", "ปัญญา")),
    ("นาง", ("สมหญิง", "วิไลวรรณ", "รัตนาภรณ์", "ศิริลักษณ์", "จันทร์เพ็ญ")),
    ("นางสาว", ("กนกวรรณ", "ปิยะนุช", "สุดารัตน์", "พิมพ์ใจ", "จิราพร", "น้ำฝน")),
)
SURNAMES = (
    "สมมุติวงศ์", "ทดสอบกุล", "ตัวอย่างดี", "จำลองศรี", "ลองระบบ", "สร้างขึ้นใหม่", "ไม่มีจริง", "แบบฝึกหัด",
    "นามสมมติ", "เรื่องแต่ง", "ทดลองใช้", "ข้อมูลเทียม",
)  # fmt: skip
STREETS = ("ถนนตัวอย่าง", "หมู่บ้านตัวอย่างวิลล์ ถนนสมมุติ 7", "ซอยทดลอง 12 ถนนจำลองสาย 4", "ถนนทดสอบใหม่", "ซอยจำลอง 3/1")
PLACES = ("ตัวอย่าง", "สมมุติ", "ทดลองใต้", "จำลองเหนือ", "บ้านใหม่ทดสอบ")
# Brand, models, engine brand, engine size in cc, horsepower, weight in kg.
CARS = (
    ("TOYOTA", ("ZRE172R-GEXGKT", "NSP151R-CEXRKT"), "TOYOTA", (1496, 1798), (108, 141), (1080, 1320)),
    ("HONDA", ("FC6507JTX", "GM6658HNT"), "HONDA", (1497, 1799), (117, 173), (1110, 1340)),
    ("ISUZU", ("TFR86JDM1", "TFS87JDL2"), "ISUZU", (1898, 2999), (150, 190), (1650, 1990)),
    ("MITSUBISHI", ("KL1TJHHFNR", "KR1WGWPFR"), "MITSUBISHI", (2442, 2477), (128, 181), (1720, 1985)),
    ("NISSAN", ("CVL4LZLD23FYP", "BDBALZWN18EXA"), "NISSAN", (1198, 2298), (79, 190), (980, 1900)),
    ("MAZDA", ("BPHS5AA06", "DL5S4AA02"), "MAZDA", (1298, 1998), (93, 165), (1060, 1410)),
)
# Type as printed, characteristic, seats.
KINDS = (
    ("รย.1 รถยนต์นั่งส่วนบุคคลไม่เกิน 7 คน", "เก๋งสองตอน", ("5",)),
    ("รย.1 รถยนต์นั่งส่วนบุคคลไม่เกิน 7 คน", "นั่งสองตอนท้ายบรรทุก", ("5", "7")),
    ("รย.2 รถยนต์นั่งส่วนบุคคลเกิน 7 คน", "ตู้นั่งสามตอน", ("11", "12")),
    ("รย.3 รถยนต์บรรทุกส่วนบุคคล", "กระบะบรรทุก (มีแค็บ)", ("2", "3")),
)
COLOURS = ("ขาว", "ดำ", "เทา", "บรอนซ์เงิน", "แดง", "น้ำเงิน", "น้ำตาล", "ขาว-ดำ", "เขียว", "ฟ้า")
FUELS = ("เบนซิน", "ดีเซล", "เบนซิน-ไฟฟ้า", "เบนซิน-ก๊าซปิโตรเลียมเหลว")
DRIVES = ("ขับเคลื่อนล้อหน้า", "ขับเคลื่อนล้อหลัง", "ขับเคลื่อนสี่ล้อ")
CHASSIS_PLACES = ("คอหน้า", "ใต้เบาะขวา", "ข้างขวาแชสซี", "หน้าห้องเครื่อง")
ENGINE_PLACES = ("ข้างเครื่อง", "หน้าเครื่อง", "ท้ายเครื่อง", "ซ้ายเครื่อง")
PLATE_LETTERS = "กขฆงจฉชฌญฎฐณตถทธนบปผพฟภมยรลวศษสหอฮ"
VIN_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"


def _date(chance: random.Random, first: int, last: int) -> str:
    """A day in the Buddhist era."""
    return f"{chance.randint(1, 28)} {chance.choice(MONTHS)} {chance.randint(first, last)}"


def _card_number(chance: random.Random) -> str:
    """Thirteen digits as on a card, with a check digit that is wrong."""
    digits = [chance.randint(1, 8), *(chance.randint(0, 9) for _ in range(11))]
    check = (11 - sum((13 - i) * digit for i, digit in enumerate(digits)) % 11) % 10
    d = "".join(map(str, [*digits, (check + chance.randint(1, 9)) % 10]))
    return f"{d[0]}-{d[1:5]}-{d[5:10]}-{d[10:12]}-{d[12]}"


def _name(chance: random.Random) -> str:
    title, given_names = chance.choice(PEOPLE)
    return f"{title} {chance.choice(given_names)} {chance.choice(SURNAMES)}"


def _address(chance: random.Random, province: str) -> str:
    house = f"{chance.randint(1, 399)}/{chance.randint(1, 99)}"
    village = f" หมู่ที่ {chance.randint(1, 14)}" if chance.random() < 0.5 else ""
    place, district = chance.choice(PLACES), chance.choice(PLACES)
    if province == "กรุงเทพมหานคร":
        area = f"แขวง{place} เขต{district} {province}"
    else:
        area = f"ตำบล{place} อำเภอ{district} จังหวัด{province}"
    return f"{house}{village} {chance.choice(STREETS)} {area} {chance.randint(10, 96)}{chance.randint(0, 9)}00"


def invented_book(chance: random.Random) -> dict[str, str]:
    """The 26 fields of a vehicle registration book, under the vendor's names (contract, Field names)."""
    brand, models, engine_brand, sizes, horsepower, weights = chance.choice(CARS)
    kind, characteristic, seats = chance.choice(KINDS)
    province = chance.choice(PROVINCES)
    bought = chance.randint(2553, 2568)
    weight = chance.randint(*weights)
    letters = "".join(chance.choices(PLATE_LETTERS, k=2))
    prefix = str(chance.randint(1, 9)) if chance.random() < 0.7 else ""
    return {
        "registration_date": _date(chance, bought, bought),
        "registration_number_car": f"{prefix}{letters} {chance.randint(1, 9999)}",
        "province": province,
        "type": kind,
        "characteristic": characteristic,
        "brand_car": brand,
        "model": chance.choice(models),
        "year_model": str(bought - 543 - chance.randint(0, 1)),
        "color": chance.choice(COLOURS),
        "car_number": "M" + "".join(chance.choices(VIN_LETTERS, k=10)) + f"{chance.randint(0, 999999):06}",
        "car_number_position": chance.choice(CHASSIS_PLACES),
        "brand_engine": engine_brand,
        "engine_number": "".join(chance.choices(VIN_LETTERS[:23], k=3)) + f"{chance.randint(0, 9999999):07}",
        "engine_number_position": chance.choice(ENGINE_PLACES),
        "type_fuel": chance.choice(FUELS),
        "characteristic_drive": chance.choice(DRIVES),
        "horsepower": str(chance.randint(*horsepower)),
        "engine_size": str(chance.choice(sizes)),
        "weight_car": str(weight),
        "weight_all": str(weight + chance.randint(300, 1100)),
        "number_of_seat": chance.choice(seats),
        "date_of_posession": _date(chance, bought, 2569),
        "ownership": _name(chance),
        "ownership_number_of_card": _card_number(chance),
        "ownership_birthday_date": _date(chance, 2495, 2547),
        "ownership_adress": _address(chance, province),
    }


def invented_card(chance: random.Random) -> dict[str, str]:
    """Fields of an identity card. The contract has no field names for it: these are the simulator's own."""
    return {
        "id_number": _card_number(chance),
        "title_and_name": _name(chance),
        "date_of_birth": _date(chance, 2495, 2547),
        "address": _address(chance, chance.choice(PROVINCES)),
        "date_of_issue": _date(chance, 2562, 2565),
        "date_of_expiry": _date(chance, 2570, 2573),
    }
