-- Packagings of one product share its stock: a change of one is a change of all.
ALTER TABLE skus ADD COLUMN product TEXT;
CREATE INDEX skus_product ON skus (product) WHERE product IS NOT NULL;
