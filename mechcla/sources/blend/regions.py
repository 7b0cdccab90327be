"""The sixteen regions of BLEnD: how its files, its Hugging Face splits and our language tags name
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mechcla.errors import MechclaError, nearest

FORMS = ("local", "english")


@dataclass(frozen=True)
class Region:
    """One region.

    `code` is the Hugging Face split and what `regions=` takes; `file` starts the published file
    names; `country` is ISO 3166 (-2 for a part of a country), which candidates carry; `tag` the
    language tag of items in the local language: the bare language for its first region, BCP 47 with
    a country for its second. `english` is the name in the English questions, `ours` what replaces
    it there.
    """

    code: str
    file: str
    country: str
    language: str
    tag: str
    english: str
    ours: str = "our country"

    def language_tag(self, form: str) -> str:
        """The language tag of this region's items in the form "local" or "english"."""
        if form == "local" or self.language == "en":
            return self.tag
        return f"en-{self.code}"


REGIONS: tuple[Region, ...] = (
    Region("DZ", "Algeria", "DZ", "ar", "ar", "Algeria"),
    Region("AS", "Assam", "IN-AS", "as", "as", "Assam", "our region"),
    Region("AZ", "Azerbaijan", "AZ", "az", "az", "Azerbaijan"),
    Region("CN", "China", "CN", "zh", "zh", "China"),
    Region("ET", "Ethiopia", "ET", "am", "am", "Ethiopia"),
    Region("GR", "Greece", "GR", "el", "el", "Greece"),
    Region("ID", "Indonesia", "ID", "id", "id", "Indonesia"),
    Region("IR", "Iran", "IR", "fa", "fa", "Iran"),
    Region("MX", "Mexico", "MX", "es", "es-MX", "Mexico"),
    Region("KP", "North_Korea", "KP", "ko", "ko-KP", "North Korea"),
    Region("NG", "Northern_Nigeria", "NG", "ha", "ha", "Northern Nigeria", "our region"),
    Region("KR", "South_Korea", "KR", "ko", "ko", "South Korea"),
    Region("ES", "Spain", "ES", "es", "es", "Spain"),
    Region("GB", "UK", "GB", "en", "en-GB", "the UK"),
    Region("US", "US", "US", "en", "en", "the US"),
    Region("JB", "West_Java", "ID-JB", "su", "su", "West Java", "our region"),
)
BY_CODE = {region.code: region for region in REGIONS}


def find_region(name: str | Region) -> Region:
    """The region of this code ("ES") or file name ("Spain"). Raises MechclaError with the nearest
    names.
    """
    if isinstance(name, Region):
        return name
    for region in REGIONS:
        if name in (region.code, region.file):
            return region
    known = [r.code for r in REGIONS] + [r.file for r in REGIONS]
    fixed = next(
        (k for k in known if str(name).strip().casefold().replace(" ", "_") == k.casefold()), None
    )
    hint = (
        f"did you mean {fixed!r}? known: {', '.join(r.code for r in REGIONS)}"
        if fixed
        else nearest(name, known, 32)
    )
    raise MechclaError(f"BLEnD has no region {name!r}; {hint}")


def find_regions(names: str | Iterable[str | Region] | None) -> tuple[Region, ...] | None:
    """The regions of these names in their order, each once; None stays None, which means all there
    are.
    """
    if names is None:
        return None
    if isinstance(names, str):
        names = [names]
    found = tuple(dict.fromkeys(find_region(name) for name in names))
    if not found:
        raise MechclaError(
            "regions=[] asks for no region; "
            f"leave it out for all, or name some of {', '.join(BY_CODE)}"
        )
    return found


def check_form(form: str) -> str:
    """The form, if it is one. Raises MechclaError otherwise."""
    if form not in FORMS:
        raise MechclaError(
            f"form={form!r} is not a form of a BLEnD question; {nearest(form, FORMS)}"
        )
    return form
