"""What a `call` process sees of its endpoints. attempts of this process -> Signal -> `signals.v1` -> health.

sensor      calls under way, counts since the last signal, who is silent
baseline    how late a first event usually is, and so: when is it late
"""

from pipeline.core.sensor.sensor import Sensor

__all__ = ["Sensor"]
