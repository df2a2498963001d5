"""What a person can do about each reason for which a model is stalled: one sentence each, in the imperative. Pure."""

from typing import Final

ADVICE: Final = {
    "ImagePullFailed": (
        "Check that the tag of spec.image exists and that spec.imagePullSecrets may read it from the registry."
    ),
    "InvalidImageName": "Write spec.image as registry/name:tag or registry/name@sha256:digest.",
    "ContainerConfigError": (
        "Make the Secrets and ConfigMaps that the spec names, with the keys that it names, in this namespace."
    ),
    "CrashLooping": (
        "Read what the server said last: kubectl logs --previous on the pod; then mend the image or the spec."
    ),
    "OutOfMemory": "Raise spec.resources.limits.memory, or serve a smaller model.",
    "Unschedulable": (
        "Add nodes, lower spec.resources.requests, or widen what of spec binds the pods to nodes "
        "(nodeSelector, affinity, tolerations)."
    ),
    "QuotaExceeded": "Raise the ResourceQuota of the namespace, or ask for less in spec.resources and spec.replicas.",
    "AdmissionDenied": (
        "Change the spec so that the admission rule named in the message is met, or have the rule changed."
    ),
    "WeightsNotFound": "Upload the weights, or correct spec.weights.url.",
    "WeightsForbidden": (
        "Put credentials that may read the weights into the Secret of spec.weights.credentialsSecretRef, "
        "or grant them that right."
    ),
    "WeightsUnreachable": (
        "Check the host in spec.weights.url and spec.weights.endpoint, "
        "and whether NetworkPolicies let the pods reach it."
    ),
    "DiskFull": (
        "Free space on the node, raise ephemeral-storage in spec.resources.requests so that the pod goes where there "
        "is room, or serve a smaller file."
    ),
    "ChecksumMismatch": (
        "Put the SHA-256 of the file that is meant into spec.weights.sha256 (sha256sum prints it), "
        "or upload the file again."
    ),
    "UnsupportedFormat": (
        "Save the weights as one of the formats of docs/server.md, unpacked, "
        "and let spec.model.architecture name the model, or the format of a file that is a whole model."
    ),
    "WebPage": (
        "Put the address of the file itself into spec.weights.url, not that of a page about it, "
        "and see that it can be read without a login."
    ),
    "PickledModel": (
        "Save the weights alone where the model's class is known "
        "(torch.save(model.state_dict(), path)), and use that file."
    ),
    "DamagedWeights": (
        "Upload the file again and compare its size with the original's; "
        "with spec.weights.sha256 a half upload is told before it is loaded."
    ),
    "UnsafeWeights": (
        "Find out where the file comes from: it may be an attack; "
        "if it is yours, save the state_dict alone (torch.save(model.state_dict(), path))."
    ),
    "ArchitectureMismatch": (
        "Make spec.model (architecture, head, classes) say what the weights were trained as, or use the other weights."
    ),
    "NonFiniteWeights": "Train or export again: weights that are NaN or infinite answer nothing.",
    "VerificationFailed": (
        "Look at what the model answers for the samples of spec.verification: "
        "the weights are the wrong ones, spec.model.classes is in another order, or a sample is wrong."
    ),
    "CanaryErrorRate": (
        "Find out why the new version answers with errors (kubectl logs on the pod); "
        "raise spec.rollout.canary.maxErrorRate only if they are expected."
    ),
    "CanaryLatency": (
        "Give the new version more CPU, or raise spec.rollout.canary.maxLatencyRatio if slower is acceptable."
    ),
    "ProgressDeadlineExceeded": (
        "See what the pods wait for (kubectl describe pod); "
        "raise spec.rollout.progressDeadlineSeconds if they only need longer."
    ),
    "NameConflict": (
        "Rename the model, or delete the object named in the message if nobody needs it: Catfish does not touch it."
    ),
    "InvalidSpec": "Correct the field that the message names.",
    "Overruled": (
        "See who else writes the object named in the message (kubectl get --show-managed-fields, mutating webhooks), "
        "and have that leave out what is labelled app.kubernetes.io/managed-by: catfish-operator."
    ),
}
"""For every reason of `reasons.STALLED`; a test holds it complete."""

OTHERWISE: Final = "Read the message above; kubectl describe on the model and its pods shows the events."
"""For a reason that a newer operator knows and this plugin does not."""
