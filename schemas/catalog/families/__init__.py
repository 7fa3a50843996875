"""What is known of model families: `../families.yaml` as typed rows, and the page docs/models.md made of them.

table       the file, checked, and which row a model's name belongs to
__main__    `python -m schemas.catalog.families --write docs/models.md`, or `--check`
"""

from schemas.catalog.families.table import Family, Table, family_of, known_facts, load, merged_flags, read

__all__ = ["Family", "Table", "family_of", "known_facts", "load", "merged_flags", "read"]
