"""Fine-tuning at a provider that speaks OpenAI's wire: files, jobs, events. What is trained on is the caller's matter."""

from connectors.finetuning.client import Event, Job, TuningClient, TuningError

__all__ = ["Event", "Job", "TuningClient", "TuningError"]
