"""What an operator can ask and order, shared by the command line and the admin surface.

running        what runs, by `up.json`
records        topics read without a group
events         records as JSON, without bodies unless asked for
breakers       which endpoints are out; orders to hold one
explain        everything that happened to a request
exporting      a tenant's requests as a file
finetuning     a model tuned on an export
feedback       what people said of a request
usage          who used how much, and the statement of it
dead_letters   what could not be processed
"""
