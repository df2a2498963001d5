"""The prediction log: one record for every answer, and one for every feedback on it, to a sink outside of the pod."""
