"""The command line: `millrace`. One module per group of verbs; heavy imports are made by the command that needs them.

main      the list of commands, errors -> one line and an exit code      options   what several commands take
stages    run, simulate, broker                                          up        the whole platform on this machine
layout, children, supervisor, places                                     the parts of `up`
topics, config, dlq                                                      looking after it
send, watch, explain                                                     using it;  records: reading and writing topics
demo, demo_rows                                                          what `up --demo` shows
"""
