"""From a signal of Huey to a verdict: the receiver, handlers, filters, and the task option."""
