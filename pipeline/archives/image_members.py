"""The members of archives that the rows of a table of images stand for, and the members that none stands for."""

import pyarrow as pa

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.member_lookup import NameLookupError
from pipeline.archives.zip_archive import Member
from pipeline.core import schema
from pipeline.core.errors import join_items
from pipeline.core.file_names import IMAGE_SUFFIXES

MAX_EXAMPLES = 3


def find_members(images: pa.Table, archives: ArchiveFolder) -> list[Member | str]:
    """Find the member of each image by the rules of `member_lookup`.

    Args:
        images: schema.IMAGES.
        archives: the archives of the images.

    Returns:
        Per image its member, or why there is none.

    """
    columns = (images[name].to_pylist() for name in ("archive", "member", "file_name"))
    return [_find(archives, *row) for row in zip(*columns, strict=True)]


def with_member_names(images: pa.Table, archives: ArchiveFolder) -> pa.Table:
    """Replace the column `member` by the names that the members have in their archives.

    A member that is not found keeps the name that its publisher would give it.
    """
    names = [
        member.name if isinstance(member, Member) else published
        for member, published in zip(find_members(images, archives), images["member"].to_pylist(), strict=True)
    ]
    column = images.schema.get_field_index("member")
    return images.set_column(column, images.schema.field(column), pa.array(names, pa.string()))


def count_unused(images: pa.Table, archives: ArchiveFolder) -> pa.Table:
    """Count the image files in all archives of the folder, and those that no row stands for.

    Args:
        images: schema.IMAGES.
        archives: the archives.

    Returns:
        schema.ARCHIVES, without archives that hold no image files.

    """
    members = find_members(images, archives)
    used = {(member.archive, member.name) for member in members if isinstance(member, Member)}
    rows = []
    for path in archives.paths():
        archive = archives[path]
        names = [name for name in archive.names() if name.lower().endswith(IMAGE_SUFFIXES)]
        unused = [name for name in names if (archive.path, name) not in used]
        if names:
            examples = join_items(map(repr, unused[:MAX_EXAMPLES]))
            rows.append({"archive": path, "files": len(names), "unused": len(unused), "first_unused": examples})
    return pa.Table.from_pylist(rows, schema.ARCHIVES)


def _find(archives: ArchiveFolder, archive: str, member: str, file_name: str) -> Member | str:
    # A member is the folder of the image in the archive and its file name. The latter may have folders in front that
    # only the machine of its author has.
    name, folder = (file_name, member.removesuffix(file_name)) if member.endswith(file_name) else (member, "")
    try:
        return archives[archive].find(name, folder)
    except NameLookupError as error:
        return f"not in its archive{error.hint}"
