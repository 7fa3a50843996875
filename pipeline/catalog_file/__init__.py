"""The catalogue file: YAML and environment -> catalogue and keys, or every problem at once, each with its line.

document    text -> plain data that knows its lines;    shape    the models of `schemas.catalog`, in words of the file
keys        what the environment holds for it;          load     all of it together, and `millrace config check`
simulate    the same catalogue for the demo;            problems what can be wrong, and where
adding      one more model, into the text as it stands
"""

from pipeline.catalog_file.adding import add_model, model_row
from pipeline.catalog_file.load import LoadedCatalog, check, dump_document, json_schema, load, parse, read_document
from pipeline.catalog_file.problems import CatalogError, Problem
from pipeline.catalog_file.simulate import EDGE_ADDRESS, EDGE_PORT, OWN_ADDRESSES, offers_edge, simulated

__all__ = [
    "EDGE_ADDRESS",
    "EDGE_PORT",
    "OWN_ADDRESSES",
    "CatalogError",
    "LoadedCatalog",
    "Problem",
    "add_model",
    "check",
    "dump_document",
    "json_schema",
    "load",
    "model_row",
    "offers_edge",
    "parse",
    "read_document",
    "simulated",
]
