-- Every wait ends: the clock that wrote it was set back since, so it would last longer than meant.
UPDATE orders SET not_before = 0 WHERE not_before > 0;
UPDATE attempts SET not_before = 0 WHERE not_before > 0;
UPDATE pushes SET not_before = 0 WHERE not_before > 0;
UPDATE outbox SET not_before = 0 WHERE not_before > 0;
UPDATE inbox SET not_before = 0 WHERE not_before > 0;
UPDATE gates SET not_before = 0 WHERE not_before > 0;
