"""What comes from what: data sources, views, services, runs, model versions, predictions.

`graph` draws it from what the registry holds today and what the history remembers, `impact` says
what depends on an object, `usage` who uses a feature, `layout` where each object is drawn. They go
by the references that runs and models really asked for, so that a model that never used a view is
not said to depend on it through a shared service.
"""
