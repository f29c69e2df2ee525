-- Variants whose stock row was written since an instant of the server's clock: the instant's day twice, then its time.
-- Unverified: that the product stamps FMODIFW (a date) and HMODIFW (HH:MM:SS) of COMB whenever COCANT changes. Where it
-- does not, this finds nothing, and the full comparison does (push.full_every).
SELECT COART, COCOL, TALLE
FROM ZooLogic.COMB
WHERE
    FMODIFW > CAST(? AS datetime)
    OR (FMODIFW = CAST(? AS datetime) AND HMODIFW >= CAST(? AS char(8)))
