"""The pure decisions: no I/O, no clock, no randomness. What they need comes in as arguments, what they find goes out.

classify     what a request is: tokens, language, task, complexity, sensitivity, needs
decide       which model answers (DESIGN.md section 6), by way of eligible (may data go there) and rules
pricing      what a call costs, in whole nano-dollars
journey      what happens next to a request;     outcomes: what a step of it can say
breaker      which endpoints are out;            sensor: what a caller sees of them
retry_budget how many calls beyond the first     continuation: how a broken answer goes on
"""
