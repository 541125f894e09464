"""What every measurement needs: processes, clocks, load, statistics, the report."""
