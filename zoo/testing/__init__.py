"""The kit that a plugin is tested with, in the manner of scikit-learn's `check_estimator`.

A whole test file of a plugin:

    import zoo.testing

    @zoo.testing.parametrize("zoo-leaky")
    def test_conforms(check):
        check()
"""

from __future__ import annotations

from .kit import check_arch as check_arch
from .kit import check_modifier as check_modifier
from .kit import check_plugin as check_plugin
from .kit import parametrize as parametrize
from .results import Case as Case
from .results import Report as Report
from .results import Result as Result
from .suite import cases as cases
