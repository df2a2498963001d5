"""The rights of manifests/base suffice for all that the e2e tests made the operator do.

The test comes after all others. That no right is too much is shown by tests/integration/test_operator_rights.py,
which lives through cases that no test here does.
"""

import pytest

from demo.cluster import NAMESPACED
from localcluster import cluster
from tests.cluster_fixtures import STARTED
from tests.e2e.audit import AuditOfRun
from tests.integration.operator_process import wait_for
from tests.integration.rights import granted, used

pytestmark = pytest.mark.e2e
ALIVE = {("catfish.dev", "catfishmodels", "list"), ("coordination.k8s.io", "leases", "update")}
"""What an operator does that has nothing to do."""


@pytest.mark.usefixtures("kube")
def test_the_operator_asked_for_nothing_that_it_may_not_do(pytestconfig, installation):
    where = "*" if installation == NAMESPACED else installation.namespace  # some tests install one more
    user = f"system:serviceaccount:{where}:catfish-operator"
    audit = AuditOfRun(cluster.current().plane.audit_log, user=user, since=pytestconfig.stash[STARTED])
    wait_for(lambda: used(audit) >= ALIVE, seconds=90, what="the operator is at work")
    assert audit.covers_the_run(), "the audit log was rotated away: run fewer tests at once"
    needed, given = used(audit), granted()
    assert audit.forbidden() == []
    assert sorted(needed - given) == []
    terminal = pytestconfig.get_terminal_writer()
    terminal.line(f"\nrights used: {len(needed & given)} of {len(given)}; by no test that ran:")
    for group, resource, verb in sorted(given - needed):
        terminal.line(f"  {verb} {resource}{'.' if group else ''}{group}")
