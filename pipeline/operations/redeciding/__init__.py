"""decide-replay: reads what was decided and decides it again, in as many processes as there are cores.

deciding   the whole: plans, hands out, adds up          page       the report for people, a file of HTML
segments   which parts of the log there are              worker     a process that takes parts, one after the other
topics     one part out of Kafka                         tables     a range out of ClickHouse
catalogs   the catalogues that were in force
"""
