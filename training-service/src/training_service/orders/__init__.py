"""Orders: data sets and trainings that tenants ask for, and what is known of them."""
