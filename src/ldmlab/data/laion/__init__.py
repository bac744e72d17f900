"""Pictures of a list of URLs, such as LAION's, fetched by img2dataset in a process of its own, and audited."""
