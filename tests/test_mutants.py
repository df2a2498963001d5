import pytest

from tests.mutants.__main__ import ROOT, all_of_them


@pytest.mark.parametrize("mutant", all_of_them(), ids=lambda mutant: mutant.name)
def test_each_seeded_bug_still_fits_the_code(mutant):
    assert mutant.fits(ROOT), f"write it anew, against the rule that it broke: {mutant.name}"
    assert mutant.old != mutant.new
