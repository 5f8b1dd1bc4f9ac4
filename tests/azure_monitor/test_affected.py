from typing import Any

import pytest

from itsm_bridge.azure_monitor.affected import affected_by
from tests.alert_files import alert_of, document_of

GROUP = "/subscriptions/5e2a8f31-0c4d-4b7e-9a66-2f1d3c7b8e90/resourceGroups/shop-prod"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/vm-web-01"
OTHER_VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/vm-web-02"
WORKSPACE = f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/log-shop"
MONITOR = f"{GROUP}/providers/microsoft.monitor/accounts/amw-shop"


def log_alert(*, targets: list[str], items: list[str] | None = None, **dimensions: str) -> Any:
    sample = document_of("log-subscription-scope.fired")
    essentials = sample["data"]["essentials"]
    essentials["alertTargetIDs"], essentials["configurationItems"] = targets, items
    criterion = sample["data"]["alertContext"]["condition"]["allOf"][0]
    criterion["dimensions"] = [{"name": name, "value": value} for name, value in dimensions.items()]
    return sample


@pytest.mark.parametrize(
    ("sample", "resources", "scopes"),
    [
        (log_alert(targets=[WORKSPACE], items=["vm-web-01"]), ("vm-web-01",), (WORKSPACE,)),
        (log_alert(targets=[GROUP], Computer="vm-web-01.contoso.example"), ("vm-web-01.contoso.example",), (GROUP,)),
        (log_alert(targets=[WORKSPACE], _ResourceId=VM, Computer="vm-web-01"), (VM,), (WORKSPACE,)),
        (log_alert(targets=[VM, OTHER_VM], Computer="vm-web-02"), (OTHER_VM,), ()),
        (log_alert(targets=[VM], Computer="VM-WEB-01"), (VM,), ()),
        (log_alert(targets=[VM], Computer="vm-elsewhere"), ("vm-elsewhere", VM), ()),
        (log_alert(targets=[WORKSPACE], items=[VM.lower(), "vm-web-01"]), (VM.lower(),), (WORKSPACE,)),
        (log_alert(targets=[WORKSPACE], _ResourceId=WORKSPACE), (), (WORKSPACE,)),
        (
            log_alert(targets=[MONITOR], cluster="aks-edge"),
            ("/providers/Microsoft.ContainerService/managedClusters/aks-edge",),
            (MONITOR,),
        ),
        (log_alert(targets=[GROUP], Computer="shop-prod"), ("shop-prod",), (GROUP,)),
        (log_alert(targets=[], items=[]), (), ()),
        (log_alert(targets=[VM], SvcName="web", Cluster=""), (VM,), ()),
    ],
    ids=str,
)
def test_what_is_affected_comes_before_where_the_rule_looks(
    sample: Any, resources: tuple[str, ...], scopes: tuple[str, ...]
) -> None:
    found = affected_by(alert_of(sample))

    assert (found.resources, found.scopes) == (resources, scopes)


def test_of_many_targets_the_one_that_a_dimension_names_is_affected() -> None:
    (resource,) = affected_by(alert_of("metric-one-of-many-targets.fired")).resources

    assert resource.endswith("/vm-batch-05")


def test_a_configuration_item_of_a_metric_is_of_the_type_that_the_metric_belongs_to() -> None:
    sample = document_of("metric-static.fired")
    sample["data"]["essentials"] |= {"alertTargetIDs": [], "configurationItems": ["redis-cart"]}
    sample["data"]["alertContext"]["condition"]["allOf"][0]["metricNamespace"] = "Microsoft.Cache/redis"

    assert affected_by(alert_of(sample)).resources == ("/providers/Microsoft.Cache/redis/redis-cart",)


def test_a_budget_is_of_its_scope() -> None:
    found = affected_by(alert_of("budget-actual"))

    assert (found.resources, len(found.scopes)) == ((), 1)
