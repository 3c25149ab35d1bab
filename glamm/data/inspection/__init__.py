"""What people look at: as read, inventory, statistics, pages, tables."""
