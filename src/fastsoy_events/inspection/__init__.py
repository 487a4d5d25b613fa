"""What plugins would do, by their metadata and their source, of which nothing is run. Only the command line imports it.

```text
source/      a module's bytes -> records of its handlers, contracts, emits and imports; every other part builds on it
_static      records -> the list of handlers as the bus would order them       fastsoy-events list --static
_edges       records and contracts -> who publishes which event
_left_out    which handlers are known of and do not take part
check/       facts, rules, findings                                            fastsoy-events check
catalog/     the events as Markdown, JSON or AsyncAPI                          fastsoy-events catalog
graph/       the same as a drawing, and its cycles                             fastsoy-events graph
preview/     wheels as if they were installed, and what would differ           fastsoy-events preview
_why         the parts of each handler's sort key                              fastsoy-events why
_timing      what a plugin's import consists of; it alone watches a load       fastsoy-events plugins --timing
_scaffold    a plugin package to begin with                                    fastsoy-events new
```
"""
