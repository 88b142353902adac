"""Telling files by how they begin."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF87a", "GIF image"),
    (b"GIF89a", "GIF image"),
    (b"II*\x00", "TIFF image"),
    (b"MM\x00*", "TIFF image"),
    (b"%PDF-", "PDF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Office document"),
    (b"PK\x03\x04", "ZIP archive or Office document"),
    (b"7z\xbc\xaf\x27\x1c", "7z archive"),
    (b"Rar!\x1a\x07", "RAR archive"),
    (b"OggS", "Ogg sound or video"),
    (b"ID3", "MP3 sound"),
    (b"fLaC", "FLAC sound"),
    (b"\x1aE\xdf\xa3", "Matroska or WebM video"),
    (b"FLV\x01", "Flash video"),
    (b"\x7fELF", "program"),
    (b"SQLite format 3\x00", "SQLite database"),
    (b"PAR1", "Parquet table"),
    (b"data:image/", "image as data: URL"),
    (b"data:application/", "file as data: URL"),
    (b"data:audio/", "sound as data: URL"),
    (b"data:video/", "video as data: URL"),
    (b"iVBORw0KGgo", "PNG image in Base64"),
    (b"/9j/", "JPEG image in Base64"),
    (b"R0lGOD", "GIF image in Base64"),
    (b"JVBERi0", "PDF document in Base64"),
    (b"UEsDB", "ZIP archive in Base64"),
)
# Containers that say behind their mark what is in them.
_RIFF = {b"WAVE": "WAV sound", b"WEBP": "WebP image", b"AVI ": "AVI video"}
_TAR_AT, _TAR = 257, b"ustar"
# Shorter than this, no mark is a file.
_LEAST_BYTES = 64


def kind_of(head: bytes) -> str | None:
    """The kind of file that begins so, None where it looks like none; a few hundred bytes are enough."""
    if len(head) < _LEAST_BYTES:
        return None
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return "MP4 video"
    if head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return "tar archive"
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
