from tests.faults.sight import Sight, failure

V1, V2 = "aaa", "bbb"


def pod(hash_, *, ready=True, container=None, leaving=False):
    metadata = {"name": "x", "labels": {"pod-template-hash": hash_}}
    if leaving:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {
        "metadata": metadata,
        "status": {"conditions": conditions, "containerStatuses": [container or {}]},
    }


def looked(*looks, replicas=2):
    sight = Sight(v1=V1, replicas=replicas)
    for at, (pods, told) in enumerate(looks):
        sight = sight.look(float(at), pods, failure=told)
    return sight


OLD = [pod(V1), pod(V1)]
TOLD = ("CrashLooping", "It keeps ending.")


def test_the_fewest_ready_pods_of_v1_are_kept_and_one_on_its_way_out_is_none():
    sight = looked((OLD, None), ([pod(V1), pod(V1, leaving=True), pod(V2)], None), (OLD, None))
    assert (sight.least_v1, sight.least_ready) == (1, 2)


def test_a_report_is_the_first_end_or_bad_wait_of_a_pod_of_v2():
    ended = {"restartCount": 0, "state": {"terminated": {"exitCode": 3}}}
    again = {"restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    sight = looked(
        ([*OLD, pod(V2, ready=False)], None),
        ([*OLD, pod(V2, ready=False, container=ended)], None),
        ([*OLD, pod(V2, ready=False, container=again)], None),
    )
    assert (sight.begun, sight.reported, sight.struck) == (0.0, 1.0, 2.0)


def test_an_end_of_a_pod_of_v1_is_no_report():
    ended = {"restartCount": 4, "state": {"terminated": {"exitCode": 3}}}
    assert looked(([pod(V1), pod(V1, container=ended)], None)).reported is None


def test_an_image_that_cannot_be_pulled_reports_and_strikes_when_it_is_put_off():
    first = {"state": {"waiting": {"reason": "ErrImagePull"}}}
    second = {"state": {"waiting": {"reason": "ImagePullBackOff"}}}
    sight = looked(
        ([*OLD, pod(V2, ready=False, container=first)], None),
        ([*OLD, pod(V2, ready=False, container=second)], None),
    )
    assert (sight.reported, sight.struck) == (0.0, 1.0)


def test_back_is_since_when_v1_alone_is_there_whole_after_it_was_noticed():
    before = (OLD, None)  # v1 is whole, but nobody has noticed anything
    trying = ([*OLD, pod(V2)], None)
    going = ([*OLD, pod(V2, leaving=True)], TOLD)
    sight = looked(before, trying, going, (OLD, TOLD))
    assert (sight.noticed, sight.back) == (2.0, 2.0)
    assert (sight.reason, sight.message) == TOLD


def test_a_pod_of_v2_after_that_is_another_try():
    sight = looked((OLD, TOLD), ([*OLD, pod(V2, ready=False)], TOLD))
    assert sight.back is None
    assert sight.tried_again == 1


def test_as_long_as_nothing_was_noticed_nothing_is_back():
    assert looked((OLD, None)).back is None


def test_without_whole_v1_it_is_not_back():
    assert looked(([pod(V1)], TOLD)).back is None
    assert looked(([*OLD, pod(V1)], TOLD)).back is None


def test_a_failure_is_told_by_a_status_of_this_generation_alone():
    conditions = [{"type": "Stalled", "status": "True", "reason": "OutOfMemory"}]
    body = {"status": {"observedGeneration": 2, "message": "So it is.", "conditions": conditions}}
    assert failure(body, generation=3) is None
    assert failure(body, generation=2) == ("OutOfMemory", "So it is.")
    assert failure({}, generation=1) is None


def test_progress_is_work_that_was_not_told_before_the_failure_was_noticed():
    sight = Sight(v1=V1, replicas=2)
    told = [("fetching", 0), ("fetching", 7), ("fetching", 0), ("fetching", 7), ("loading", 0)]
    for at, (stage, done) in enumerate(told):
        sight = sight.look(
            float(at), OLD, failure=None if at < 4 else TOLD, work=frozenset({("x", stage, done)})
        )
    assert sight.progressed == 1.0
