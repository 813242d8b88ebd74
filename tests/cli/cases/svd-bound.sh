eckart svd A.npy --rank 4 --proof bound | grep -E '^(known|  +wrong)'
