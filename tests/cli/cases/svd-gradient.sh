eckart svd A.npy --rank 4 --engine gradient --iterations 30 --ridge 1 --tolerance 0
