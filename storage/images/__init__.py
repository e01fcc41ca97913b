"""Images in: sources, the listing that gives each image its id, and the policy that decodes them."""
