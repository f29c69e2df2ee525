//! What every HTTP adapter needs: clients, limits, retries of reads, errors.
