"""The Catfish operator: keeps what a CatfishModel asks for, and judges every rollout."""
