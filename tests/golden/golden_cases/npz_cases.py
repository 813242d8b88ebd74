"""npz: archives as NumPy writes them, and archives made to be read in two ways."""

import io
import struct
import zipfile

from .case import Case, entry, index
from .npy_cases import F4, fields, head

ARRAY = head(fields()) + F4
DATE = (1980, 1, 1, 0, 0, 0)


def archive(members, method=zipfile.ZIP_STORED, zip64=False, comment=b""):
    """As numpy.savez writes; members: name -> bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        z.comment = comment
        for name, content in members:
            info = zipfile.ZipInfo(name, DATE)
            info.compress_type = method
            info.create_system = 3
            with z.open(info, "w", force_zip64=zip64) as f:
                f.write(content)
    return out.getvalue()


def streamed(members):
    """As written to a pipe: sizes and checksum follow the data."""
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.content = b""

        def writable(self):
            return True

        def write(self, data):
            self.content += bytes(data)
            return len(data)

    out = Pipe()
    with zipfile.ZipFile(out, "w") as z:
        for name, content in members:
            z.writestr(zipfile.ZipInfo(name, DATE), content)
    return out.content


def directory(content):
    return content.index(b"PK\1\2")


def end(content):
    return content.rindex(b"PK\5\6")


def patch(content, at, data):
    return content[:at] + data + content[at + len(data):]


def good(name, content, text, warning=""):
    return Case(f"npz/{name}.npz", {f"npz/{name}.npz": content}, text=text, warning=warning)


def bad(name, content, offset, text, status="format"):
    return Case(f"npz/{name}.npz", {f"npz/{name}.npz": content}, status, offset, text)


def good_cases():
    x, y = entry("x", "F32", [2, 3], F4), entry("y", "F32", [2, 3], F4)
    two = [("x.npy", ARRAY), ("y.npy", ARRAY)]
    yield good("stored", archive(two), index(x, y))
    yield good("deflated", archive(two, zipfile.ZIP_DEFLATED), index(x, y))
    yield good("as-savez", archive(two, zip64=True), index(x, y))
    yield good("as-savez-compressed", archive(two, zipfile.ZIP_DEFLATED, zip64=True), index(x, y))
    yield good("streamed", streamed(two), index(x, y))
    yield good("comment", archive(two, comment=b"made by hand"), index(x, y))
    yield good("nothing", archive([]), "")
    yield good("slash", archive([("layer/x.npy", ARRAY)]), entry("layer/x", "F32", [2, 3], F4))
    yield good("utf8", archive([("größe.npy", ARRAY)]), entry("größe", "F32", [2, 3], F4))
    yield good("fortran", archive([("x.npy", head(fields("'>f4'", "True")) + F4)]),
               entry("x", "F32", [2, 3], F4, " F S"))
    yield good("other-members", archive([("note.txt", b"hello"), ("x.npy", ARRAY), ("folder/", b"")]), x,
               "2 members of 'npz/other-members.npz' are no arrays ('note.txt')")
    zero = head(fields("'<f8'", shape="(4, 64)")) + b"\0" * 2048
    yield good("zeros", archive([("x.npy", zero)], zipfile.ZIP_DEFLATED),
               entry("x", "F64", [4, 64], b"\0" * 2048))
    yield good("dots-are-never-a-path", archive([("../../x.npy", ARRAY)]), entry("../../x", "F32", [2, 3], F4))


def archive_cases():
    one = archive([("x.npy", ARRAY)])
    yield bad("no-end", one[:-22], len(one) - 22, "its end record is missing")
    yield bad("cut", one[:-1], len(one) - 1, "its end record is missing")
    yield bad("trailing", one + b"x", len(one) + 1, "its end record is missing")
    yield bad("prefix", one[:4] + one, end(one) + 4, "its end record does not fit its directory")
    yield bad("several-disks", patch(one, end(one) + 4, b"\1\0"), end(one), "it spans several disks")
    yield bad("records-too-many", patch(one, end(one) + 8, b"\2\0\2\0"), directory(one), "its directory is too short")
    yield bad("records-too-few", patch(one, end(one) + 8, b"\0\0\0\0"), directory(one), "its directory is broken")
    yield bad("directory-broken", patch(one, directory(one), b"PK\1\3"), directory(one), "its directory is broken")
    yield bad("name-runs-out", patch(one, directory(one) + 28, b"\xff\xff"), directory(one), "its directory is broken")


def end64(content, records=1, bytes_change=0, offset_change=0, locator_change=0):
    """The archive with a zip64 end record and its locator."""
    at, start = end(content), directory(content)
    record = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, records, records, at - start + bytes_change,
                         start + offset_change)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at + locator_change, 1)
    return content[:at] + record + locator + content[at:]


def zip64_cases():
    one = archive([("x.npy", ARRAY)])
    at = end(one)
    yield good("zip64-end", end64(one), entry("x", "F32", [2, 3], F4))
    yield bad("zip64-locator", end64(one, locator_change=1), at + 56, "its zip64 locator leads elsewhere")
    yield bad("zip64-records", end64(one, records=2), at, "its end records do not fit its directory")
    yield bad("zip64-bytes", end64(one, bytes_change=1), at, "its end records do not fit its directory")
    yield bad("zip64-offset", end64(one, offset_change=-1), at, "its end records do not fit its directory")
    yield bad("zip64-broken", patch(end64(one), at, b"PK\6\5"), at, "its zip64 end record is broken")
    lacking = patch(one, directory(one) + 20, b"\xff" * 8)
    yield bad("zip64-sizes", lacking, directory(one), "tensor 'x.npy' of 'npz/zip64-sizes.npz': its zip64 sizes are missing")


def member_cases():
    one, two = archive([("x.npy", ARRAY)]), archive([("x.npy", ARRAY), ("y.npy", ARRAY)])
    packed = archive([("x.npy", ARRAY)], zipfile.ZIP_DEFLATED)
    d, dp = directory(one), directory(packed)
    data = 30 + len("x.npy")
    yield bad("encrypted", patch(one, d + 8, b"\1\0"), d, "it is encrypted")
    yield bad("encrypted-local", patch(one, 6, b"\1\0"), 0, "its local header differs from the directory")
    yield bad("method", patch(patch(one, d + 10, b"\x0c\0"), 8, b"\x0c\0"), d, "packed by method 12", "unsupported")
    yield bad("method-local", patch(one, 8, b"\x08\0"), 0, "its local header differs from the directory")
    yield bad("name-local", patch(one, 30, b"y"), 0, "its local header differs from the directory")
    yield bad("size-local", patch(one, 22, struct.pack("<L", len(ARRAY) - 1)), 0, "its local header differs")
    second = two.index(b"PK\3\4", 4)
    yield bad("no-second-local", patch(two, second, b"PK\3\5"), second, "its local header differs from the directory")
    same = two.replace(b"y.npy", b"x.npy")
    yield bad("name-twice", same, same.index(b"PK\3\4", 4), "the name comes twice")
    d2 = two.index(b"PK\1\2", directory(two) + 4)
    yield bad("overlap", patch(two, d2 + 42, struct.pack("<L", 0)), 0, "its local header differs from the directory")
    yield bad("overlap-same", patch(same, d2 + 42, struct.pack("<L", 0)), 0, "it overlaps another member")
    yield bad("outside", patch(one, d + 42, struct.pack("<L", len(one))), d, "it lies outside the archive")
    yield bad("outside-extra", patch(one, 28, b"\xff\xff"), 0, "it lies outside the archive")
    yield bad("sizes-differ", patch(one, d + 24, struct.pack("<L", len(ARRAY) + 1)), d, "its two sizes contradict")
    yield bad("bomb-size", patch(packed, dp + 24, struct.pack("<L", 2**31)), dp, "its two sizes contradict each other")
    yield bad("name-control", one.replace(b"x.npy", b"\7.npy"), d, "its name has control characters")
    yield bad("name-no-characters", one.replace(b"x.npy", b"\xc3\xa4npy"[:5]), d, "its name is in no known character")
    yield bad("checksum", patch(one, data + 130, b"\xee"), data, "its checksum is")
    yield bad("checksum-directory", patch(one, d + 16, b"\0\0\0\0"), data, "the directory says 00000000")
    deflated = packed.index(b"x.npy") + 5
    yield bad("inflate-broken", patch(packed, deflated, b"\xff"), 0, "its packed bytes are broken")
    yield bad("inflate-checksum", patch(patch(packed, dp + 16, b"\0\0\0\0"), 14, b"\0\0\0\0"), deflated, "its checksum is")


def inflated(size, content=ARRAY):
    """A deflated member that states another size than it has."""
    whole = archive([("x.npy", content)], zipfile.ZIP_DEFLATED)
    whole = patch(whole, directory(whole) + 24, struct.pack("<L", size))
    return patch(whole, 22, struct.pack("<L", size))


def content_cases():
    size = len(ARRAY)
    yield bad("inflates-to-more", inflated(size - 24, head(fields(shape="(0, 3)")) + F4), 0, "not of the size stated")
    yield bad("inflates-to-less", inflated(size, head(fields())), 0, "its packed bytes are broken")
    start = 30 + len("x.npy")
    short = archive([("x.npy", ARRAY[:-4])])
    yield bad("array-short", short, start, "tensor 'x.npy' of 'npz/array-short.npz': 4 bytes missing of 24")
    long = archive([("x.npy", ARRAY + b"tail")])
    yield bad("array-long", long, start, "4 bytes follow the array")
    yield bad("not-an-array", archive([("x.npy", b"hello")]), start, "it does not begin as a .npy array does")
    pickled = archive([("x.npy", head(fields("'|O'")) + b"cos\nsystem\n(S'echo'\ntR.")])
    yield bad("pickled", pickled, start + 10, "pickled Python objects are never read", "unsupported")
    broken = archive([("x.npy", head("{'descr': '<f4'}") + F4)])
    yield bad("head-broken", broken, start + 64, "no 'fortran_order' at byte 54 of its header")


def cases():
    for make in (good_cases, archive_cases, zip64_cases, member_cases, content_cases):
        yield from make()
