"""The catalogue: what we offer, to whom, under which rules. The shape of `infra/catalog.yaml` (CONTRACT.md section 3).

    words       names, numbers, money, sensitivity
    offers      providers, models, prices, flags
    families    what is known of a model without being told;   list_prices: what its vendor charges
    policies    routes, rules, exploration, experiments, shadows
    tenants     who asks, how much, where their data may go
    guards      breaker, retries, alerts
    catalog     the whole and its look-ups;         references: names that lead nowhere

No I/O: the file is read, and problems get their lines, in `pipeline/catalog_file.py`.
"""

from schemas.catalog.catalog import EVERYTHING, PLATFORM_TENANT, Catalog
from schemas.catalog.families import known_facts
from schemas.catalog.guards import ALERT_TERMS, Alert, Breaker, Condition, Retry
from schemas.catalog.list_prices import list_price
from schemas.catalog.offers import Adapter, Flags, Handling, Model, Operation, Price, Provider, Rates, Timeouts
from schemas.catalog.policies import (
    Arm,
    Experiment,
    Exploration,
    Objective,
    ObjectiveOverride,
    Per,
    Require,
    Route,
    Rule,
    Shadow,
    ShadowFilter,
    SpendLimit,
    When,
)
from schemas.catalog.references import Finding, broken_references
from schemas.catalog.tenants import Budget, Cache, Rate, Tenant
from schemas.catalog.words import Sensitivity, nano_usd

__all__ = [
    "ALERT_TERMS",
    "EVERYTHING",
    "PLATFORM_TENANT",
    "Adapter",
    "Alert",
    "Arm",
    "Breaker",
    "Budget",
    "Cache",
    "Catalog",
    "Condition",
    "Experiment",
    "Exploration",
    "Finding",
    "Flags",
    "Handling",
    "Model",
    "Objective",
    "ObjectiveOverride",
    "Operation",
    "Per",
    "Price",
    "Provider",
    "Rate",
    "Rates",
    "Require",
    "Retry",
    "Route",
    "Rule",
    "Sensitivity",
    "Shadow",
    "ShadowFilter",
    "SpendLimit",
    "Tenant",
    "Timeouts",
    "When",
    "broken_references",
    "known_facts",
    "list_price",
    "nano_usd",
]
