import pytest

from tests.mutants import __main__ as mutants


@pytest.mark.parametrize("mutant", mutants.all_of_them(), ids=lambda mutant: mutant.name)
def test_each_seeded_bug_still_fits_the_code(mutant):
    assert mutant.fits(mutants.ROOT), f"write it anew, against the rule that it broke: {mutant.name}"
    assert mutant.old != mutant.new


def test_the_copy_that_bugs_are_put_into_has_all_that_its_tests_need():
    done = mutants.tests(None, "--collect-only")
    assert done.returncode == 0, done.stdout + done.stderr
