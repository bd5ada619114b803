"""The site's nodes as the operator manages them: added, removed, and the site file with their keys kept."""
